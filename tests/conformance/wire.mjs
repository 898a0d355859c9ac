// A bare MQTT 3.1.1 client: sends exactly the packets it is told to, as other languages' SDKs shape them.
import { once } from 'node:events';
import tls from 'node:tls';
import mqtt from 'mqtt-packet';
import * as hub from './hub.mjs';

export class Wire {
  #waiting = [];
  #arrived = [];

  static async open() {
    const { hostName, mqttsPort } = hub.endpoints();
    const wire = new Wire();
    wire.socket = tls.connect({ host: hostName, port: mqttsPort, servername: hostName });
    wire.closed = once(wire.socket, 'close').catch(() => {});
    wire.socket.on('error', () => {});
    const parser = mqtt.parser({ protocolVersion: 4 });
    parser.on('packet', packet => {
      const waiter = wire.#waiting.shift();
      if (waiter) waiter.resolve(packet); else wire.#arrived.push(packet);
    });
    wire.socket.on('data', chunk => parser.parse(chunk));
    wire.socket.on('close', () => { for (const waiter of wire.#waiting.splice(0)) waiter.reject(new Error('the hub closed the connection')); });
    await once(wire.socket, 'secureConnect');
    return wire;
  }

  send(packet) {
    this.socket.write(mqtt.generate(packet));
  }

  raw(bytes) {
    this.socket.write(bytes);
  }

  receive() {
    if (this.#arrived.length) return Promise.resolve(this.#arrived.shift());
    if (this.socket.destroyed) return Promise.reject(new Error('the hub closed the connection'));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async connect(device, { clientId = device.deviceId, userName, password, clean = false, keepalive = 60, ...rest } = {}) {
    this.send({
      cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean, clientId, keepalive,
      username: userName ?? `${device.hostName}/${clientId}/?api-version=2021-04-12`,
      password: password ?? hub.sas(`${device.hostName}/devices/${device.deviceId}`, device.key),
      ...rest,
    });
    return this.receive();
  }

  async subscribe(...subscriptions) {
    this.send({ cmd: 'subscribe', messageId: 7, subscriptions: subscriptions.map(([topic, qos]) => ({ topic, qos })) });
    return this.receive();
  }

  publish(topic, payload, { qos = 1, messageId = 1, ...rest } = {}) {
    this.send({ cmd: 'publish', topic, payload, qos, messageId, dup: false, retain: false, ...rest });
    return qos === 0 ? undefined : this.receive();
  }

  async close() {
    this.socket.destroy();
    await this.closed;
  }
}
