// A bare AMQP 1.0 client (rhea) over TLS or WebSocket, for what the official SDKs do not do or do not show.
import { randomUUID } from 'node:crypto';
import rhea from 'rhea';
import WebSocket from 'ws';
import * as hub from './hub.mjs';

/** Waits for an event of an emitter of rhea's; rejects with the error of the first of the events that mean it will not come. */
export function event(emitter, name, ...failures) {
  return new Promise((resolve, reject) => {
    const listeners = [[name, resolve], ...failures.map(failure => [failure, context => reject(errorOf(context) ?? new Error(failure))])]
      .map(([name, then]) => [name, context => { remove(); then(context); }]);
    const remove = () => { for (const [name, listener] of listeners) emitter.removeListener(name, listener); };
    for (const [name, listener] of listeners) emitter.on(name, listener);
  });
}

function errorOf({ error, receiver, sender, connection }) {
  return receiver?.error ?? sender?.error ?? connection?.error ?? error;
}

// rhea takes a mechanism as an object that answers the server; these two say nothing.
const silent = { start: callback => callback(undefined, ''), step: callback => callback(undefined, '') };

/** What a client may begin with: null is no SASL at all. */
export const mechanisms = {
  none: {},
  ANONYMOUS: { sasl_mechanisms: { ANONYMOUS: silent } },
  MSSBCBS: { sasl_mechanisms: { MSSBCBS: silent } },
};

export class AmqpWire {
  /** Opens a connection; rejects with the hub's error when it is refused. `carrier` is tls or ws. */
  static async open(options = {}, carrier = 'tls') {
    const { hostName, amqpsPort, httpsPort } = hub.endpoints();
    const container = rhea.create_container({ id: randomUUID() });
    for (const name of ['error', 'connection_error', 'session_error', 'sender_error', 'receiver_error', 'protocol_error']) container.on(name, () => {});
    const wire = new AmqpWire();
    wire.connection = container.connect({
      host: hostName, hostname: hostName, port: amqpsPort, transport: 'tls', servername: hostName, reconnect: false,
      ...(carrier === 'ws' ? { connection_details: container.websocket_connect(WebSocket)(`wss://${hostName}:${httpsPort}/$iothub/websocket`, ['AMQPWSB10'], {}) } : {}),
      ...options,
    });
    wire.closed = event(wire.connection, 'disconnected');
    await event(wire.connection, 'connection_open', 'connection_error', 'connection_close', 'disconnected');
    return wire;
  }

  /** Puts a token; answers the status. */
  async put(audience, token) {
    this.cbs ??= { requests: this.connection.open_sender('$cbs'), answers: this.connection.open_receiver('$cbs') };
    const { requests, answers } = this.cbs;
    requests.send({
      message_id: randomUUID(), to: '$cbs', reply_to: 'cbs', body: token,
      application_properties: { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: audience },
    });
    return (await event(answers, 'message')).message.application_properties['status-code'];
  }

  /** Puts a device's own token. */
  putDevice({ hostName, deviceId, key }, options) {
    const resource = `${hostName}/devices/${deviceId}`;
    return this.put(resource, hub.sas(resource, key, options));
  }

  /** Puts a token of the owner's for the whole hub. */
  putOwner() {
    const { HostName, SharedAccessKeyName, SharedAccessKey } = hub.parts(hub.endpoints().ownerConnectionString);
    return this.put(HostName, hub.sas(HostName, SharedAccessKey, { policy: SharedAccessKeyName }));
  }

  /** Attaches a link to send on; rejects with the hub's error when it is refused. */
  sender(target, options = {}) {
    return attached(this.connection.open_sender({ target, ...options }), 'sender');
  }

  /** Attaches a link to receive on, without credit unless `options` say otherwise; rejects with the hub's error when it is refused. */
  receiver(address, options = {}, filter = undefined) {
    const source = { address, ...(filter ? { filter: { 'apache.org:selector-filter:string': rhea.types.wrap_described(filter, 0x468c00000004) } } : {}) };
    return attached(this.connection.open_receiver({ source, credit_window: 0, ...options }), 'receiver');
  }

  async close() {
    if (this.connection.is_open()) {
      this.connection.close();
      await event(this.connection, 'connection_close', 'disconnected');
    }
  }
}

function refusal({ error }) {
  return Object.assign(new Error(error?.description), { condition: error?.condition, info: error?.info });
}

// A hub that refuses answers the attach first, without the terminus that was asked for, then detaches.
function attached(link, kind) {
  return new Promise((resolve, reject) => {
    link.once(`${kind}_error`, () => reject(refusal(link)));
    link.once(`${kind}_close`, () => reject(refusal(link)));
    link.once(`${kind}_open`, () => {
      if (kind === 'sender' ? link.target?.address : link.source?.address) resolve(link);
    });
  });
}

/** Sends one message (or, with a format, encoded bytes); answers accepted, rejected, released, and rejects with the link's error. */
export function send(sender, message, format) {
  const given = () => new Promise((resolve, reject) => {
    const delivery = sender.send(message, undefined, format);
    const settled = context => {
      if (context.delivery !== delivery) return;
      remove();
      const { error } = delivery.remote_state ?? {};
      if (error) reject(Object.assign(new Error(error.description), { condition: error.condition }));
      else resolve(delivery.remote_state.constructor.composite_type ?? 'accepted');
    };
    const failed = context => { remove(); reject(errorOf(context)); };
    const remove = () => { sender.removeListener('settled', settled); sender.removeListener('sender_close', failed); };
    sender.on('settled', settled);
    sender.on('sender_close', failed);
  });
  return sender.sendable() ? given() : event(sender, 'sendable', 'sender_close').then(given);
}

/** A message with one data section. */
export const data = (body, rest = {}) => ({ body: rhea.message.data_section(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))), ...rest });

/** Messages in the format in which devices send batches. */
export const batch = messages => rhea.message.encode({ body: rhea.message.data_sections(messages.map(message => rhea.message.encode(message))) });
export const batchFormat = 0x80013700;


export const eventsAddress = (partition, group = '$Default', eventHub = 'events') => `${eventHub}/ConsumerGroups/${group}/Partitions/${partition}`;

