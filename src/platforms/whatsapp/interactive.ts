/** Interactive messages: buttons and lists in full; of the other kinds, what all have in common. */
import { isFields } from '../fields.ts';
import { anyObject, broken, httpsLink, listOf, matching, object, type Rule, text } from '../rules.ts';

const bodyText = (max: number) => object({ required: { text: text(max) } });
const exactly = (value: string): Rule => matching(new RegExp(`^${value}$`), `"${value}"`);

const header: Rule = (field, value) => {
  const isText = isFields(value) && value.type === 'text';
  if (isText) object({ required: { type: exactly('text'), text: text(60) }, open: true })(field, value);
  else
    object({ required: { type: matching(/^[a-z_]{1,32}$/, 'text, image, video or document') }, open: true })(
      field,
      value,
    );
};

const reply = object({ required: { id: text(256), title: text(20) } });
const replyButton = object({ required: { type: exactly('reply'), reply } });
const replyButtons = object({ required: { buttons: listOf(3, replyButton) }, open: true });

const row = object({ required: { id: text(200), title: text(24) }, optional: { description: text(72) } });
const section = object({ required: { rows: listOf(10, row) }, optional: { title: text(24) } });
const MAX_ROWS = 10;

const list: Rule = (field, value) => {
  object({ required: { button: text(20), sections: listOf(10, section) }, open: true })(field, value);
  const sections = (value as { sections: readonly { title?: string; rows: readonly unknown[] }[] }).sections;
  const rows = sections.reduce((sum, each) => sum + each.rows.length, 0);
  if (rows > MAX_ROWS) broken(`${field}.sections`, `at most ${MAX_ROWS} rows in all sections together`);
  const untitled = sections.findIndex(({ title }) => title === undefined);
  if (sections.length > 1 && untitled >= 0) {
    broken(`${field}.sections[${untitled}].title`, 'required where there is more than one section');
  }
};

const link = object({
  required: {
    name: exactly('cta_url'),
    parameters: object({ required: { display_text: text(20), url: httpsOrHttp }, open: true }),
  },
  open: true,
});

/** Opened by the user's browser, not fetched by Meta. */
function httpsOrHttp(field: string, value: unknown): void {
  if (typeof value === 'string' && value.startsWith('http://')) httpsLink(field, value.replace('http:', 'https:'));
  else httpsLink(field, value);
}

interface Kind {
  readonly action: Rule;
  readonly maxBody: number;
}

const KINDS: ReadonlyMap<unknown, Kind> = new Map([
  ['button', { action: replyButtons, maxBody: 1_024 }],
  ['list', { action: list, maxBody: 4_096 }],
  ['cta_url', { action: link, maxBody: 1_024 }],
]);
/** Flows, products, catalogues, requests for an address or a place, and what is yet to come. */
const OTHER_KIND: Kind = { action: anyObject, maxBody: 4_096 };

export const interactive: Rule = (field, value) => {
  if (!isFields(value)) broken(field, 'an object');
  const kind = KINDS.get(value.type);
  const { action, maxBody } = kind ?? OTHER_KIND;
  const body = { body: bodyText(maxBody) };
  const known = kind !== undefined;
  object({
    required: { type: matching(/^[a-z_]{1,64}$/, 'button, list, cta_url …'), action, ...(known ? body : {}) },
    optional: { ...(known ? {} : body), header, footer: bodyText(60) },
    open: !known,
  })(field, value);
};
