// Readers of the Event Hubs-compatible endpoint: the unmodified client over TLS and WebSocket, and what applications put around it.
import { randomUUID } from 'node:crypto';
import { EventHubConsumerClient } from '@azure/event-hubs';
import WebSocket from 'ws';
import * as hub from './hub.mjs';

/** How a client is carried. */
export const carriers = { tls: {}, ws: { webSocketOptions: { webSocket: WebSocket } } };

// What is refused is refused at once: no second try after 30 s.
const retryOptions = { maxRetries: 0, timeoutInMs: 20_000 };

/** A client; `use` says the connection string, the carrier, the consumer group and the checkpoint store. */
export function consumer({ connectionString = hub.endpoints().eventHubConnectionString, carrier = 'tls', group = '$Default', store, ...options } = {}) {
  const all = { ...carriers[carrier], retryOptions, ...options };
  return store ? new EventHubConsumerClient(group, connectionString, store, all) : new EventHubConsumerClient(group, connectionString, all);
}

/** The connection string of the Event Hub, with another policy's key or another name of the Event Hub. */
export function connectionString({ policy, key, eventHub } = {}) {
  const parts = hub.parts(hub.endpoints().eventHubConnectionString);
  return `Endpoint=${parts.Endpoint};SharedAccessKeyName=${policy ?? parts.SharedAccessKeyName};SharedAccessKey=${key ?? parts.SharedAccessKey};EntityPath=${eventHub ?? parts.EntityPath}`;
}

export const deviceOf = event => event.systemProperties['iothub-connection-device-id'];

/** A subscription: `events` are those that arrived so far; `until` waits for them to be enough, and rejects with the first error. */
export class Reading {
  events = [];
  errors = [];
  #waiting = [];

  /** Of one partition, or of all when `partition` is undefined. */
  constructor(client, options, partition) {
    const handlers = {
      processEvents: async (events, context) => {
        for (const event of events) this.events.push({ ...event, partition: context.partitionId });
        this.newest = context.lastEnqueuedEventProperties;
        await options.processed?.(events, context);
        this.#look();
      },
      processError: async error => { this.errors.push(error); this.#look(); },
    };
    const all = { maxBatchSize: 100, ...options };
    delete all.processed;
    this.subscription = partition === undefined ? client.subscribe(handlers, all) : client.subscribe(String(partition), handlers, all);
  }

  #look() {
    this.#waiting = this.#waiting.filter(waiter => !waiter());
  }

  #wait(settle) {
    return new Promise((resolve, reject) => {
      const waiter = () => settle(resolve, reject);
      if (!waiter()) this.#waiting.push(waiter);
    });
  }

  until(enough) {
    return this.#wait((resolve, reject) => {
      if (this.errors.length) return reject(this.errors[0]), true;
      return enough(this.events) && (resolve(this.events), true);
    });
  }

  error() {
    return this.#wait(resolve => this.errors.length && (resolve(this.errors[0]), true));
  }

  close() {
    return this.subscription.close();
  }
}

/** Reads from a position until it is enough. */
export async function read(client, enough, options, partition) {
  const reading = new Reading(client, options, partition);
  try {
    return await reading.until(enough);
  } finally {
    await reading.close();
  }
}

/** The error with which a reader is refused. */
export async function refusal(client, options, partition) {
  const reading = new Reading(client, options, partition);
  try {
    return await reading.error();
  } finally {
    await reading.close();
  }
}

/** A checkpoint store as applications keep one in a blob, in memory. */
export class Checkpoints {
  #owners = new Map();
  #checkpoints = new Map();

  async listOwnership() {
    return [...this.#owners.values()];
  }

  async claimOwnership(claims) {
    const claimed = claims.filter(({ partitionId, etag }) => this.#owners.get(partitionId)?.etag === etag)
      .map(claim => ({ ...claim, etag: randomUUID(), lastModifiedTimeInMs: Date.now() }));
    for (const claim of claimed) this.#owners.set(claim.partitionId, claim);
    return claimed;
  }

  async updateCheckpoint(checkpoint) {
    this.#checkpoints.set(checkpoint.partitionId, checkpoint);
  }

  async listCheckpoints() {
    return [...this.#checkpoints.values()];
  }
}
