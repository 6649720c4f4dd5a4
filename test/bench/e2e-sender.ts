/**
 * @module Keep-alive connections that write ready-made requests and read just enough of the
 * answers: what the generator costs must not hide what the service costs.
 */

import { connect, type Socket } from "node:net";

/** What came of one request. */
export interface Answer {
  /** 0 when the connection broke. */
  readonly status: number;
}

/** One connection, one request at a time. */
class Connection {
  readonly #port: number;
  #socket: Socket | undefined;
  #answered: ((answer: Answer) => void) | undefined;
  #text = "";

  constructor(port: number) {
    this.#port = port;
  }

  send(request: Buffer): Promise<Answer> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#text = "";
      this.#open().write(request);
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #open(): Socket {
    if (this.#socket !== undefined) return this.#socket;
    const socket = connect(this.#port, "127.0.0.1").setNoDelay(true).setEncoding("latin1");
    this.#socket = socket;
    socket.on("data", (part: string) => this.#read(part));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#socket = undefined;
      this.#answer(0);
    });
    return socket;
  }

  #read(part: string): void {
    this.#text += part;
    const head = this.#text.indexOf("\r\n\r\n");
    if (head === -1) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#text)?.[1] ?? 0);
    if (this.#text.length >= head + 4 + length) this.#answer(Number(this.#text.slice(9, 12)));
  }

  #answer(status: number): void {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.({ status });
  }
}

/** A bounded number of connections; what finds none free waits in order. */
export class Sender {
  readonly #idle: Connection[];
  readonly #all: readonly Connection[];
  readonly #waiting: ((connection: Connection) => void)[] = [];

  constructor(port: number, connections: number) {
    this.#all = Array.from({ length: connections }, () => new Connection(port));
    this.#idle = [...this.#all];
  }

  /** Requests that wait for a connection. */
  get waiting(): number {
    return this.#waiting.length;
  }

  async send(request: Buffer, cancelled: () => boolean = () => false): Promise<Answer | undefined> {
    const connection = this.#idle.pop() ?? (await this.#free());
    const answer = cancelled() ? undefined : await connection.send(request);
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(connection);
    else next(connection);
    return answer;
  }

  close(): void {
    for (const connection of this.#all) connection.close();
  }

  #free(): Promise<Connection> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
