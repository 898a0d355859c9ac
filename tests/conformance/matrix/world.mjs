// What stands at the other end of the devices of a matrix: services that send, read and are told.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import iothub from 'azure-iothub';
import { consumer, deviceOf, Reading } from '../eventhubs.mjs';
import * as hub from '../hub.mjs';

export class World {
  #feedback = new Map();
  #files = new Map();

  static async open() {
    const world = new World();
    const { serviceConnectionString, ownerConnectionString } = hub.endpoints();
    world.registry = iothub.Registry.fromConnectionString(ownerConnectionString);
    world.digitalTwins = new iothub.DigitalTwinClient(new iothub.IoTHubTokenCredentials(serviceConnectionString));
    world.service = iothub.Client.fromConnectionString(serviceConnectionString, iothub.Amqp);
    await world.service.open();
    const receiver = await new Promise((resolve, reject) => world.service.getFeedbackReceiver((error, made) => (error ? reject(error) : resolve(made))));
    receiver.on('message', batch => { for (const record of JSON.parse(batch.data.toString())) world.#feedback.set(record.originalMessageId, record); });
    const files = await new Promise((resolve, reject) => world.service.getFileNotificationReceiver((error, made) => (error ? reject(error) : resolve(made))));
    files.on('message', message => { const file = JSON.parse(message.data.toString()); world.#files.set(file.blobName, file); });
    world.reader = consumer();
    world.reading = new Reading(world.reader, { startPosition: { enqueuedOn: Date.now() - 1000 } });
    return world;
  }

  /** The events of an identity as the Event Hubs client reads them, once `count` of them have this text in their body. */
  async events({ deviceId, moduleId }, text, count = 1) {
    const own = all => all.filter(event => deviceOf(event) === deviceId && event.systemProperties['iothub-connection-module-id'] === moduleId && JSON.stringify(event.body).includes(text));
    return own(await this.reading.until(all => own(all).length >= count));
  }

  /** What was said of a message to who asked for it. */
  async feedbackOf(messageId) {
    return until('there is feedback', () => this.#feedback.get(messageId));
  }

  /** What was said of a file that was uploaded. */
  async fileOf(blobName) {
    return until('there is a notification of the file', () => this.#files.get(blobName));
  }

  async twinOf({ deviceId, moduleId }) {
    return (await (moduleId ? this.registry.getModuleTwin(deviceId, moduleId) : this.registry.getTwin(deviceId))).responseBody;
  }

  async changeTwinOf({ deviceId, moduleId }, patch, etag = '*') {
    return (await (moduleId ? this.registry.updateModuleTwin(deviceId, moduleId, patch, etag) : this.registry.updateTwin(deviceId, patch, etag))).responseBody;
  }

  async call({ deviceId, moduleId }, methodName, payload) {
    // Listening begins without saying so: the call waits for it.
    const parameters = { methodName, payload, connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 20 };
    return (await (moduleId ? this.service.invokeDeviceMethod(deviceId, moduleId, parameters) : this.service.invokeDeviceMethod(deviceId, parameters))).result;
  }

  async close() {
    await this.reading?.close();
    await this.reader?.close();
    this.service?.removeAllListeners();
    await this.service?.close().catch(() => {});
  }
}

/** Asks again until it is so, and answers what it is. */
export async function until(what, ask) {
  for (let turn = 0; turn < 600; turn++) {
    const answer = await ask();
    if (answer) return answer;
    await pause(50);
  }

  throw new Error(`not within 30 s: ${what}`);
}

export const unique = prefix => `${prefix}-${randomUUID()}`;
