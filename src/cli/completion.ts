/** `roomline completion`: what the shell offers after Tab, made from the commands that there are. */
import { Argument, type Command } from 'commander';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export function addCompletionCommand(program: Command, print: (text: string) => void): void {
  program
    .command('completion')
    .description('print what makes a shell complete commands and options')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText(
      'after',
      [
        '',
        '  bash: source <(roomline completion bash)',
        '  zsh:  source <(roomline completion zsh)',
        '  fish: roomline completion fish | source',
      ].join('\n'),
    )
    .action((shell: (typeof SHELLS)[number]) => print(scriptFor(shell, wordsOf(program))));
}

interface Words {
  /** The commands that lead there, such as `rooms show`; empty for the program itself. */
  readonly path: string;
  /** Commands and options that may follow. */
  readonly words: readonly string[];
}

function wordsOf(command: Command, path: readonly string[] = []): Words[] {
  const { commands, options } = command;
  const names = commands.map((each) => each.name());
  const flags = [...options.flatMap(({ long }) => long ?? []), '--help'];
  const below = commands.flatMap((each) => wordsOf(each, [...path, each.name()]));
  return [{ path: path.join(' '), words: [...names, ...new Set(flags)] }, ...below];
}

function scriptFor(shell: (typeof SHELLS)[number], all: readonly Words[]): string {
  if (shell === 'fish') return fishScript(all);
  const cases = all.map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`);
  const names = all.map(({ path }) => `'${path}'`).join('|');
  const script = [
    '_roomline() {',
    "  local path='' words='' word next",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: of the shell
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: of the shell
    '    next="${path:+$path }$word"',
    `    case "$next" in ${names}) path="$next" ;; esac`,
    '  done',
    '  case "$path" in',
    ...cases,
    '  esac',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: of the shell
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '}',
    'complete -o default -F _roomline roomline',
    '',
  ].join('\n');
  return shell === 'bash' ? script : `autoload -U +X bashcompinit && bashcompinit\n${script}`;
}

function fishScript(all: readonly Words[]): string {
  const lines = all.flatMap(({ path, words }) => {
    const parts = path.split(' ').filter((part) => part !== '');
    const seen = parts.map((part) => `__fish_seen_subcommand_from ${part}`).join('; and ');
    const condition = parts.length === 0 ? '__fish_use_subcommand' : seen;
    const flags = words.filter((word) => word.startsWith('--'));
    const commands = words.filter((word) => !word.startsWith('--'));
    return [
      ...(commands.length === 0 ? [] : [`complete -c roomline -f -n '${condition}' -a '${commands.join(' ')}'`]),
      ...flags.map((flag) => `complete -c roomline -n '${condition}' -l ${flag.slice(2)}`),
    ];
  });
  return `${lines.join('\n')}\n`;
}
