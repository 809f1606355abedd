/** The frame around the views: who is signed in, where one can go, and whether the page is connected. */
import { useComputed } from '@preact/signals';
import { Link, Route, Switch, useLocation } from 'wouter-preact';
import { isSignedIn, signOut, useResource } from './api.ts';
import { short } from './format.ts';
import { connection, totals } from './live.ts';
import { SignIn } from './sign-in.tsx';
import { isDark, toggleTheme } from './theme.ts';
import { Icon, type IconName } from './ui/icons.tsx';
import { Button, Page } from './ui/parts.tsx';
import { useSearchKey } from './ui/search-box.tsx';
import { Empty, Notice } from './ui/states.tsx';
import { FleetView } from './views/fleet.tsx';
import { OverviewView } from './views/overview.tsx';
import { RoomView } from './views/room.tsx';
import { RoomsView } from './views/rooms.tsx';
import { TroubleView } from './views/trouble.tsx';
import { readDevelopment, TryView } from './views/try.tsx';

const PLACES: readonly { readonly href: string; readonly label: string; readonly icon: IconName }[] = [
  { href: '/', label: 'Overview', icon: 'overview' },
  { href: '/rooms', label: 'Rooms', icon: 'room' },
  { href: '/trouble', label: 'Trouble', icon: 'trouble' },
  { href: '/fleet', label: 'Fleet', icon: 'fleet' },
];
/** In development mode only. */
const TRY = { href: '/try', label: 'Try it', icon: 'try' } as const;

export function App() {
  return isSignedIn.value ? <Shell /> : <SignIn />;
}

function Shell() {
  const [, navigate] = useLocation();
  useSearchKey(() => navigate('/rooms'));
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="side">
        <Link href="/" class="brand">
          <img src="/icon.svg" alt="" />
          Roomline
        </Link>
        <Navigation />
        <div class="side-foot">
          <ConnectionState />
          <div class="row">
            <Button
              kind="ghost"
              icon={isDark() ? 'sun' : 'moon'}
              label={isDark() ? 'Light colours' : 'Dark colours'}
              onClick={toggleTheme}
            />
            <Button kind="ghost" icon="leave" label="Sign out" onClick={() => signOut()} />
          </div>
        </div>
      </header>
      <main class="main" id="main" tabIndex={-1}>
        <Disconnected />
        <Switch>
          <Route path="/" component={OverviewView} />
          <Route path="/rooms" component={RoomsView} />
          <Route path="/rooms/:channel/:room">
            <Room />
          </Route>
          <Route path="/trouble/*?" component={TroubleView} />
          <Route path="/fleet" component={FleetView} />
          <Route path="/try" component={TryView} />
          <Route>
            <Page title="Nothing here">
              <Empty title="There is no page at this address">
                <Link href="/">Go to the overview</Link>
              </Empty>
            </Page>
          </Route>
        </Switch>
      </main>
    </div>
  );
}

function Navigation() {
  const [path] = useLocation();
  const development = useResource(readDevelopment, []).data;
  const places = development?.enabled === true ? [...PLACES, TRY] : PLACES;
  const held = useComputed(() => totals.value?.stages.held.rooms ?? 0);
  return (
    <nav class="nav" aria-label="Views">
      <ul>
        {places.map(({ href, label, icon }) => {
          const isHere = href === '/' ? path === '/' : path === href || path.startsWith(`${href}/`);
          return (
            <li key={href}>
              <Link href={href} {...(isHere ? { 'aria-current': 'page' as const } : {})}>
                <Icon name={icon} />
                {label}
                {href === '/trouble' && held.value > 0 && (
                  <span class="nav-count">
                    {short(held.value)}
                    <span class="hidden"> rooms held</span>
                  </span>
                )}
              </Link>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

const CONNECTIONS = { off: 'Paused', connecting: 'Connecting', live: 'Live', lost: 'Disconnected' } as const;

function ConnectionState() {
  const state = connection.value;
  return (
    <p class="connection" data-state={state} role="status">
      <i aria-hidden="true" />
      {CONNECTIONS[state]}
    </p>
  );
}

function Disconnected() {
  if (connection.value !== 'lost') return null;
  return (
    <div class="disconnected">
      <Notice tone="bad" icon="unplugged" title="Disconnected." live>
        What you see is the last that was known. The page connects again by itself.
      </Notice>
    </div>
  );
}

/** The address names the room as it was escaped; the router has undone that in part. */
function Room() {
  useLocation();
  const [channel = '', room = ''] = location.pathname.split('/').slice(2).map(decode);
  return <RoomView key={location.pathname} channel={channel} room={room} />;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
