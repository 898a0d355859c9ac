// The matrix: each feature of IoT Hub, over each transport, as each kind of identity; a cell is an act of the SDKs, seen at the other end. Columns run side
// by side, the cells of one after the other. Prints itself, and holds docs/compatibility.md to what it found.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Certificates } from './certificates.mjs';
import * as hub from './hub.mjs';
import { kinds, transports } from './matrix/axes.mjs';
import { absence, close, features, model } from './matrix/device-features.mjs';
import { check, print } from './matrix/page.mjs';
import { features as serviceFeatures, transports as serviceTransports } from './matrix/service-features.mjs';
import { World } from './matrix/world.mjs';

const cellMs = 60_000;
const columnsAtOnce = 8;
const certificates = new Certificates();
const cells = new Map();
let world;

const key = (...names) => names.join(' ');

before(async () => {
  await hub.start('--enable-insecure-fault-injection');
  world = await World.open();
  const authority = certificates.name('authority');
  certificates.authority(authority);
  await hub.cliJson(['certificate', 'create', '-n', authority, '--path', certificates.path(`${authority}.crt`), '--verified']);

  const columns = [];
  for (const [transportName, transport] of Object.entries(transports)) {
    for (const [kindName, kind] of Object.entries(kinds)) {
      const column = { transport, kind };
      const present = features.filter(feature => !feature.pending && absence(feature, column) === undefined);
      if (present.length > 0) columns.push(() => runColumn(column, present, `${transportName}-${kindName}`, authority, name => key(name, kindName, transportName)));
    }
  }

  await atOnce(columnsAtOnce, columns);
  for (const [name, transport] of Object.entries(serviceTransports)) {
    for (const feature of serviceFeatures.filter(each => !each.pending && !each.absent[name]))
      await runCell(key(feature.name, name), () => feature.act(world, transport));
  }
}, { timeout: 240_000 });

after(async () => {
  await world?.close();
  await hub.stop();
  certificates.remove();
});

async function runColumn(column, present, name, authority, keyOf) {
  const { kind, transport } = column;
  await runCell(keyOf(''), async () => {
    column.identity = await kind.create(`matrix-${name}`, { certificates, authority, isModule: kind.isModule });
    column.open = () => {
      const made = kind.client(column.identity, transport.of);
      made.on('error', () => {});
      return made;
    };
    column.stranger = () => kind.stranger(column.identity, transport.of, certificates);
    column.client = column.open();
    if (transport.name.startsWith('MQTT')) await column.client.setOptions({ modelId: model });
  });
  for (const feature of present) await runCell(keyOf(feature.name), () => feature.act(world, column));
  if (column.client) await close(column.client);
}

/** Notes what an act throws; one that does not end is given up. */
async function runCell(name, act) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not done within ${cellMs / 1000} s`)), cellMs); });
  try {
    await Promise.race([act(), late]);
    cells.set(name, undefined);
  } catch (error) {
    cells.set(name, error);
  } finally {
    clearTimeout(timer);
  }
}

async function atOnce(count, acts) {
  const rest = [...acts];
  await Promise.all(Array.from({ length: count }, async () => { while (rest.length > 0) await rest.shift()(); }));
}

function assertDone(name) {
  assert.ok(cells.has(name), 'it was not tried');
  if (cells.get(name)) throw cells.get(name);
}

const mark = (feature, isAbsent, name) => (isAbsent ? '–' : feature.pending ? '.' : cells.has(name) && !cells.get(name) ? '+' : 'X');
const byName = (all, name) => all.find(feature => feature.name === name);

describe('Matrix of devices and modules', () => {
  for (const [transportName, transport] of Object.entries(transports)) {
    for (const [kindName, kind] of Object.entries(kinds)) {
      for (const feature of features.filter(each => !each.pending && absence(each, { kind, transport }) === undefined))
        test(`Matrix_${transportName}_${kindName}_${feature.name}`, () => assertDone(key(feature.name, kindName, transportName)));
    }
  }
});

describe('Matrix of services', () => {
  for (const transportName of Object.keys(serviceTransports)) {
    for (const feature of serviceFeatures.filter(each => !each.pending && !each.absent[transportName]))
      test(`Matrix_service_${transportName}_${feature.name}`, () => assertDone(key(feature.name, transportName)));
  }
});

test('Matrix_IsPrinted_AndOnThePageOfCompatibility', () => {
  print(
    (name, kind, transport) => mark(byName(features, name), absence(byName(features, name), { kind: kinds[kind], transport: transports[transport] }), key(name, kind, transport)),
    (name, transport) => mark(byName(serviceFeatures, name), byName(serviceFeatures, name).absent[transport], key(name, transport)));
  assert.ok([...cells.values()].every(error => !error), 'a page is written of a matrix in which everything works');
  assert.equal(check(), undefined);
});
