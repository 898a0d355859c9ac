// The matrix as people read it: in docs/compatibility.md, and at the end of a run.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { repository } from '../hub.mjs';
import { kinds, transports } from './axes.mjs';
import { absence, features } from './device-features.mjs';
import { features as serviceFeatures, transports as serviceTransports } from './service-features.mjs';

const file = path.join(repository, 'docs/compatibility.md');
const [begin, end] = ['<!-- The matrix: written by tests/conformance/matrix.test.mjs, with SALLYPORT_ACCEPT=1. -->', '<!-- End of the matrix. -->'];

class Notes {
  #texts = [];

  of(text) {
    if (!this.#texts.includes(text)) this.#texts.push(text);
    return this.#texts.indexOf(text) + 1;
  }

  lines() {
    return this.#texts.map((text, n) => `${n + 1}. ${text[0].toUpperCase()}${text.slice(1)}.`);
  }
}

const all = Object.keys(kinds);
const groups = [[all, ''], [all.filter(kind => !kinds[kind].isModule), 'devices'], [all.filter(kind => kinds[kind].isModule), 'modules'], [all.filter(kind => kinds[kind].credential === 'sas'), 'with a key']];

/** Which identities a cell is about: nothing when it is all. */
function named(some) {
  const group = groups.find(([names]) => names.length === some.length && names.every(name => some.includes(name)));
  return group ? group[1] : some.map(name => kinds[name].name).join('; ');
}

function cell(feature, transport, notes) {
  const present = all.filter(kind => absence(feature, { kind: kinds[kind], transport: transports[transport] }) === undefined);
  const why = [...new Set(all.map(kind => absence(feature, { kind: kinds[kind], transport: transports[transport] })).filter(Boolean).map(text => notes.of(text)))];
  if (present.length === 0) return `– (${why[0]})`;
  const who = named(present);
  return `${feature.pending ? 'not yet' : 'works'}${who ? `: ${who}` : ''}${why.length ? ` (${why.join(', ')})` : ''}`;
}

/** The generated part of the page; only of what passed when everything did. */
function generated() {
  const notes = new Notes();
  const row = cells => `| ${cells.join(' | ')} |`;
  const lines = [
    begin, '',
    'Devices and modules, each with a key, with a certificate of its own and with one of an authority; `azure-iot-device`:', '',
    row(['', ...Object.values(transports).map(({ name }) => name)]), row(['---', ...all.slice(1).map(() => '---')]),
    ...features.map(feature => row([feature.name, ...Object.keys(transports).map(transport => cell(feature, transport, notes))])), '',
    'Services; `azure-iothub`, `@azure/event-hubs`:', '',
    row(['', ...Object.values(serviceTransports).map(({ name }) => name)]), row(['---', '---', '---', '---']),
    ...serviceFeatures.map(feature => row([feature.name, ...Object.keys(serviceTransports).map(transport =>
      (feature.absent[transport] ? `– (${notes.of(feature.absent[transport])})` : feature.pending ? 'not yet' : 'works'))])), '',
    ...notes.lines(), '', end,
  ];
  return lines.join('\n');
}

/** Holds the page to the run; rewrites it when asked to. Answers what is to be done, or undefined. */
export function check() {
  const page = readFileSync(file, 'utf8');
  const [from, to] = [page.indexOf(begin), page.indexOf(end) + end.length];
  if (from < 0 || to < end.length) return `docs/compatibility.md lost its marks: ${begin} and ${end}`;
  const written = page.slice(0, from) + generated() + page.slice(to);
  if (written === page) return undefined;
  if (process.env.SALLYPORT_ACCEPT === '1') {
    writeFileSync(file, written);
    return undefined;
  }

  return 'docs/compatibility.md is not what the matrix gives: run it with SALLYPORT_ACCEPT=1';
}

/** The cells of a run: a block for each kind of identity side by side, `+` works, `–` there is none, `.` not yet, `X` failed. */
export function print(outcomes, serviceOutcomes) {
  const width = Math.max(...[...features, ...serviceFeatures].map(({ name }) => name.length)) + 2;
  const shorts = Object.values(transports).map(({ short }) => short.padEnd(3));
  const blocks = shorts.join('').length + 2;
  const lines = ['The matrix', ''.padEnd(width) + all.map(kind => kind.slice(0, blocks - 1).padEnd(blocks)).join(''), ''.padEnd(width) + all.map(() => shorts.join('').padEnd(blocks)).join('')];
  for (const { name } of features)
    lines.push(name.padEnd(width) + all.map(kind => Object.keys(transports).map(transport => outcomes(name, kind, transport).padEnd(3)).join('').padEnd(blocks)).join(''));
  lines.push(''.padEnd(width) + 'h  a  aw ');
  for (const { name } of serviceFeatures)
    lines.push(name.padEnd(width) + Object.keys(serviceTransports).map(transport => serviceOutcomes(name, transport).padEnd(3)).join(''));
  lines.push('m MQTT, mw over WebSocket, a AMQP, aw over WebSocket, h HTTPS; + works, – there is none, . not yet, X failed');
  console.log(lines.join('\n'));
}
