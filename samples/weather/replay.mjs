// A device: sends measured weather readings (Seattle, NOAA) through the unmodified Azure IoT SDK.
//
//   ../../sallyport device-identity connection-string show -d seattle | node replay.mjs [daily|hourly] [--limit N]
//
// The connection string comes on standard input (as text or as the JSON the command prints), never on the command line.
// Node has to trust the hub's root: NODE_EXTRA_CA_CERTS=sallyport-ca.pem
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const [which = 'daily', ...rest] = process.argv.slice(2);
const files = { daily: 'seattle-weather.csv', hourly: 'seattle-weather-hourly-normals.csv' };
if (!(which in files)) {
  console.error(`replay.mjs: '${which}' is not a data set: use daily or hourly`);
  process.exit(2);
}
const limit = rest[0] === '--limit' ? Number(rest[1]) : Infinity;

const input = readFileSync(0, 'utf8').trim();
const connectionString = input.startsWith('{') ? JSON.parse(input).connectionString : input;

const text = readFileSync(new URL(`node_modules/vega-datasets/data/${files[which]}`, import.meta.url), 'utf8');
const [header, ...lines] = text.trim().split('\n');
const columns = header.split(',');
const readings = lines.slice(0, limit).map(line =>
  Object.fromEntries(line.split(',').map((cell, i) => [columns[i], cell !== '' && !isNaN(cell) ? Number(cell) : cell])));

const client = Client.fromConnectionString(connectionString, Mqtt);
await client.open();

// The SDK completes each sendEvent at the hub's PUBACK: the reading is on the hub's disk then. 100 are in flight at a time.
let next = 0;
async function sender() {
  while (next < readings.length) {
    const reading = readings[next++];
    const message = new Message(JSON.stringify(reading));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('station', 'seattle');
    await client.sendEvent(message);
  }
}
await Promise.all(Array.from({ length: 100 }, sender));
await client.close();
console.log(`sent ${readings.length} ${which} readings, each acknowledged`);
