// A TCP proxy that misbehaves on demand: resets connections, loses answers, falls silent.

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

export interface FaultyProxy {
  readonly address: string;
  readonly connections: number;
  /** Resets the connection of the next request of at least so many bytes when its answer comes. */
  loseNextAnswer(requestBytesMin: number): void;
  /** As `silence`, in the middle of the next answer of at least so many bytes. */
  silenceWithin(answerBytesMin: number): void;
  /** Connections that are open now carry nothing any more, and stay open; new ones work. */
  silence(): void;
  close(): Promise<void>;
}

/** Listens on loopback at `port` and carries bytes to `target`, a port on loopback. */
export async function startProxy(port: number, target: number): Promise<FaultyProxy> {
  const pairs = new Set<Pair>();
  const silent = new WeakSet<Pair>();
  let loseFrom: number | undefined;
  let silenceFrom: number | undefined;

  const drop = (pair: Pair) => {
    pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  };

  const server = createServer((client) => {
    const pair: Pair = { client, server: connect({ host: "127.0.0.1", port: target }) };
    pairs.add(pair);
    let losing = false;
    client.on("data", (chunk) => {
      if (silent.has(pair)) return;
      if (loseFrom !== undefined && chunk.byteLength >= loseFrom) {
        loseFrom = undefined;
        losing = true;
      }
      pair.server.write(chunk);
    });
    pair.server.on("data", (chunk) => {
      if (silent.has(pair)) return;
      if (silenceFrom !== undefined && chunk.byteLength >= silenceFrom) {
        silenceFrom = undefined;
        client.write(chunk.subarray(0, chunk.byteLength / 2));
        for (const one of pairs) silent.add(one);
      } else if (losing) {
        client.resetAndDestroy();
        drop(pair);
      } else {
        client.write(chunk);
      }
    });
    for (const socket of [client, pair.server]) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        if (!silent.has(pair)) drop(pair);
      });
    }
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${port}`,
    get connections() {
      return pairs.size;
    },
    loseNextAnswer: (requestBytesMin) => {
      loseFrom = requestBytesMin;
    },
    silenceWithin: (answerBytesMin) => {
      silenceFrom = answerBytesMin;
    },
    silence: () => {
      for (const pair of pairs) silent.add(pair);
    },
    close: async () => {
      server.close();
      for (const pair of pairs) drop(pair);
    },
  };
}
