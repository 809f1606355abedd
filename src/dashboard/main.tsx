import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/parts.css';
import './styles/controls.css';
import './styles/overview.css';
import './styles/room.css';
import './styles/trouble.css';
import './styles/fleet.css';
import './styles/try.css';
import { App } from './app.tsx';

const root = document.getElementById('app');
if (root === null) throw new Error('the page has no place for the application');
render(<App />, root);
