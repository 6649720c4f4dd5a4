/**
 * @module How the bus and the states on Kafka reach their brokers: a client of its own for each
 * task, on sockets that cannot hang for ever.
 *
 * kafkajs keeps a connection after a request on it has timed out, and sends the next one down the
 * same dead line. So each client remembers its sockets and drops the silent ones when a request
 * times out; the client then connects anew.
 */

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import {
  type Admin,
  type AdminConfig,
  type Consumer,
  type ConsumerConfig,
  type ISocketFactoryArgs,
  Kafka,
  type KafkaConfig,
  logLevel,
  type Producer,
  type ProducerConfig,
} from "kafkajs";
import { type EpochMs, realClock, secondMs } from "../clock.ts";
import { ServiceError, shown, UnavailableError } from "../error.ts";
import { mendKafkajs } from "./kafka-mends.ts";
import { oauthMechanism } from "./kafka-oauth.ts";

/** How the service proves to the brokers who it is. */
export type KafkaSasl =
  | {
      readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
      readonly username: string;
      readonly password: string;
    }
  /** `token` is asked for each connection, and again before its session runs out. */
  | { readonly mechanism: "oauthbearer"; readonly token: () => Promise<string> };

export interface KafkaConnection {
  /** `host:port` of brokers to begin with; the others are learned from them. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** TLS: true for the system's authorities, or options of node:tls. */
  readonly ssl?: boolean | ConnectionOptions;
  readonly sasl?: KafkaSasl;
}

const connectMsMax = 3 * secondMs;
const requestMsMax = 8 * secondMs;
/** A socket without a byte for this long, when a request timed out, is dead. */
const silentMs = 5 * secondMs;
const keepAliveMs = 60 * secondMs;

/**
 * Bounded: what lasts longer is retried by the bus, which can be closed meanwhile. kafkajs gives
 * them to consumers and producers too, but for what those set; a consumer that sets nothing has 5
 * retries, whatever stands here.
 */
const retrySettings = {
  initialRetryTime: 100,
  maxRetryTime: 2 * secondMs,
  factor: 0.2,
  multiplier: 2,
  retries: 5,
} as const;

/** The sockets of one client. */
class Sockets {
  readonly #heardAt = new Map<Socket, EpochMs>();
  #closed = false;

  open({ host, port, ssl, onConnect }: ISocketFactoryArgs): Socket {
    // Retries inside kafkajs outlive its disconnect; this is what ends them.
    if (this.#closed) throw new Error("the bus is closed");
    // Typed as always there; null without TLS, and true when no options are given.
    const secure = ssl as ConnectionOptions | boolean | null | undefined;
    const name = isIP(host) === 0 ? { servername: host } : {};
    const socket = !secure
      ? connectTcp({ host, port }, onConnect)
      : connectTls({ host, port, ...name, ...(secure === true ? {} : secure) }, onConnect);
    socket.setKeepAlive(true, keepAliveMs);
    tellOfLateWrites(socket);
    this.#heardAt.set(socket, realClock.now());
    socket.on("data", () => this.#heardAt.set(socket, realClock.now()));
    socket.on("close", () => this.#heardAt.delete(socket));
    return socket;
  }

  dropSilent(): void {
    const before = realClock.now() - silentMs;
    for (const [socket, heardAt] of this.#heardAt) {
      if (heardAt < before) socket.destroy(new Error("the broker fell silent"));
    }
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#heardAt.keys()) socket.destroy(new Error("the bus is closing"));
  }
}

/** One kafkajs client and its sockets: a guard that drops sockets hits nobody else's. */
export class KafkaClient {
  /** What is made of it directly drops no dead sockets, and is not disconnected by `close`. */
  readonly kafka: Kafka;
  readonly #sockets = new Sockets();
  readonly #made: { disconnect(): Promise<void> }[] = [];

  constructor(connection: KafkaConnection) {
    mendKafkajs();
    const { ssl, sasl } = connection;
    this.kafka = new Kafka({
      brokers: [...connection.brokers],
      clientId: connection.clientId,
      connectionTimeout: connectMsMax,
      requestTimeout: requestMsMax,
      retry: { ...retrySettings },
      socketFactory: (args) => this.#sockets.open(args),
      logLevel: logLevel.NOTHING,
      ...(ssl === undefined ? {} : { ssl }),
      ...(sasl === undefined ? {} : { sasl: saslOptions(sasl) }),
    });
  }

  admin(config?: AdminConfig): Admin {
    const admin = this.kafka.admin(config);
    admin.on("admin.network.request_timeout", () => this.#sockets.dropSilent());
    this.#made.push(admin);
    return admin;
  }

  consumer(config: ConsumerConfig): Consumer {
    const consumer = this.kafka.consumer(config);
    consumer.on("consumer.network.request_timeout", () => this.#sockets.dropSilent());
    this.#made.push(consumer);
    return consumer;
  }

  producer(config: ProducerConfig): Producer {
    const producer = this.kafka.producer(config);
    producer.on("producer.network.request_timeout", () => this.#sockets.dropSilent());
    this.#made.push(producer);
    return producer;
  }

  /**
   * Disconnects what it has made, and does so at each call: a consumer that was joining at the
   * first leaves its group at the second. That waits for answers; those that do not come are cut
   * off. Never rejects.
   */
  async close(): Promise<void> {
    const cancel = realClock.after(closeMsMax, () => this.#sockets.close());
    // Nothing is in flight that anybody was told of: the sockets go, whatever fails.
    await Promise.allSettled(this.#made.map(async (made) => made.disconnect()));
    cancel();
    this.#sockets.close();
  }
}

const closeMsMax = 2 * secondMs;

function saslOptions(sasl: KafkaSasl): NonNullable<KafkaConfig["sasl"]> {
  if (sasl.mechanism === "oauthbearer") return oauthMechanism(sasl.token);
  const { mechanism, username, password } = sasl;
  // One literal each: kafkajs types every mechanism by its own name.
  if (mechanism === "plain") return { mechanism, username, password };
  if (mechanism === "scram-sha-256") return { mechanism, username, password };
  return { mechanism, username, password };
}

/**
 * A request written to a socket that is gone is answered by nobody, and kafkajs may have ended the
 * timer that would notice: said as an error, it fails at once and is tried again.
 */
function tellOfLateWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...given: unknown[]) => boolean;
  socket.write = (...given: unknown[]) => {
    if (socket.destroyed) {
      setImmediate(() => socket.emit("error", new Error("the connection is gone")));
    }
    return write(...given);
  };
}

/** What kafkajs throws, as a coded problem of the bus. */
export function unavailable(place: string, error: unknown): ServiceError {
  const root = rootOf(error);
  if (root instanceof ServiceError) return root;
  const found = shown(error instanceof Error ? error.message : String(error), 200);
  const refused = root instanceof Error && root.name === "KafkaJSSASLAuthenticationError";
  const expected = refused ? "brokers that take our credentials" : "brokers that answer";
  return new ServiceError({ code: "bus-unavailable", place, expected, found }, { cause: error });
}

/** The error at the bottom: kafkajs wraps what it gives up on. */
export function rootOf(error: unknown): unknown {
  let root = error;
  for (let depth = 0; depth < 8 && root instanceof Error && root.cause instanceof Error; depth++) {
    root = root.cause;
  }
  return root;
}

/** The broker's name of an error (`MESSAGE_TOO_LARGE`), if it comes from a broker. */
export function brokerCode(error: unknown): string | undefined {
  const root = rootOf(error);
  if (!(root instanceof Error) || !("type" in root)) return undefined;
  return typeof root.type === "string" ? root.type : undefined;
}

/** Whether kafkajs finds that the same request may succeed later. */
export function isRetriable(error: unknown): boolean {
  const root = rootOf(error);
  return root instanceof Error && "retriable" in root && root.retriable === true;
}

/** Names the brokers in problems. */
export function placeOf({ brokers }: Pick<KafkaConnection, "brokers">): string {
  return `kafka ${brokers.join(",")}`;
}

/** Rejects with UnavailableError after `msMax` of real time, whatever kafkajs waits for. */
export async function inTime<T>(answer: Promise<T>, msMax: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const cancel = realClock.after(msMax, () => {
    late.reject(new UnavailableError(`no answer within ${msMax} ms`));
  });
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    cancel();
  }
}

/** Resolves after `delayMs` of real time: what brokers need does not follow a virtual clock. */
export function realPause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    realClock.after(delayMs, resolve);
  });
}
