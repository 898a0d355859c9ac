// Runs the ```console blocks of a document as printed, and compares what they print.
//
//   node tour.mjs README.md
//
// A line `$ command` is typed; what follows is expected of it. `…` in an expected line stands for anything, a line that is
// only `…` for any lines. A block ```console 2 is typed in a second terminal; a command there may go on running: it is
// done when its expected lines have been seen. A block after the comment <!-- tour: skip REASON --> is not run.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const document = process.argv[2];
const lines = readFileSync(document, 'utf8').split('\n');
const steps = [];
let block, skip;
for (const [index, line] of lines.entries()) {
  const opened = /^```console ?(\d*)$/.exec(line);
  if (block === undefined && opened) {
    block = { terminal: opened[1] || '1', skip };
    skip = undefined;
  } else if (block && line === '```') {
    block = undefined;
  } else if (block && !block.skip) {
    const last = steps.at(-1);
    if (line.startsWith('$ ')) steps.push({ terminal: block.terminal, line: index + 1, command: line.slice(2), expected: [] });
    else if (last.command.endsWith('\\') && last.expected.length === 0) last.command += `\n${line}`;
    else last.expected.push(line);
  } else {
    skip = /^<!-- tour: skip (.*) -->$/.exec(line)?.[1] ?? (line.trim() === '' ? skip : undefined);
    if (/^<!-- tour: skip/.test(line)) console.log(`not run: ${document}:${index + 1}: ${skip}`);
  }
}

class Terminal {
  output = '';
  #changed = () => {};

  constructor() {
    this.shell = spawn('bash', ['--norc', '--noprofile'], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    for (const stream of [this.shell.stdout, this.shell.stderr]) {
      stream.on('data', chunk => {
        this.output += chunk;
        this.#changed();
      });
    }
    this.shell.on('exit', () => { this.ended = true; this.#changed(); });
  }

  async run({ command, expected }) {
    const from = this.output.length;
    const mark = `:tour:${Math.random().toString(36).slice(2)}:`;
    this.shell.stdin.write(`${command}\nprintf '%s%s\\n' '${mark}' "$?"\n`);
    const deadline = AbortSignal.timeout(300_000);
    while (true) {
      const said = this.output.slice(from);
      const at = said.indexOf(mark);
      if (at >= 0) return { said: said.slice(0, at), code: Number(said.slice(at + mark.length).split('\n')[0]) };
      if (this !== terminals['1'] && expected.length && pattern(expected).test(said)) return { said, code: 0 };
      if (this.ended || deadline.aborted) return { said, code: 'none: it did not end in 300 s' };
      await new Promise(resolve => {
        this.#changed = resolve;
        deadline.addEventListener('abort', resolve, { once: true });
      });
    }
  }
}

function pattern(expected) {
  const escaped = text => text.trimEnd().replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*');
  return new RegExp('^' + expected.map(line => line.trim() === '…' ? '(?:.*\\n)*?' : `${escaped(line.trimEnd())}[ \\t]*\\n`).join('') + '$', '');
}

const terminals = {};
let code = 0;
for (const step of steps) {
  const terminal = terminals[step.terminal] ??= new Terminal();
  const { said, code: exit } = await terminal.run(step);
  const wrong = exit !== 0 ? `it ended with ${exit}` : step.expected.length && !pattern(step.expected).test(said) ? 'it printed something else' : undefined;
  if (wrong) {
    console.log(`FAILED ${document}:${step.line}: $ ${step.command}\n${wrong}; it printed:\n${said}\nexpected:\n${step.expected.join('\n')}`);
    for (const [number, other] of Object.entries(terminals)) if (other !== terminal) console.log(`terminal ${number} printed:\n${other.output.slice(-3000)}`);
    code = 1;
    break;
  }
  console.log(`ok ${document}:${step.line}: $ ${step.command}`);
}
for (const terminal of Object.values(terminals)) {
  try { process.kill(-terminal.shell.pid, 'SIGTERM'); } catch (error) { if (error.code !== 'ESRCH') throw error; }
}
process.exit(code);
