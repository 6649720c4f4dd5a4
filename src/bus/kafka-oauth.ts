/**
 * @module SASL OAUTHBEARER (RFC 7628) for kafkajs. Its own one never reads the broker's answer: a
 * token that is refused looks like a broker that hangs up.
 */

import type { Mechanism } from "kafkajs";
import { shown } from "../error.ts";

/** In Kafka's protocol bytes stand after their number, int32. */
const lengthBytes = 4;

/** `token` is asked for each connection, and again before its session runs out. */
export function oauthMechanism(token: () => Promise<string>): Mechanism {
  return {
    mechanism: "oauthbearer",
    authenticationProvider: ({ saslAuthenticate }) => ({
      authenticate: async () => {
        const request = sized(`n,,\u0001auth=Bearer ${await token()}\u0001\u0001`);
        const answer = await saslAuthenticate({
          request: { encode: () => request },
          response: {
            decode: (raw) => raw.subarray(lengthBytes),
            parse: (data) => data.toString("utf8"),
          },
        });
        // Section 3.2.2: nothing when the token was taken, else a JSON object with its status.
        if (answer === undefined || answer === "") return;
        const [, status = "no reason"] = /"status"\s*:\s*"(\w+)"/.exec(answer) ?? [];
        const error = new Error(`SASL OAUTHBEARER: ${shown(status, 40)}`);
        // As kafkajs names what no other attempt would mend.
        error.name = "KafkaJSSASLAuthenticationError";
        throw error;
      },
    }),
  };
}

function sized(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(lengthBytes);
  length.writeInt32BE(bytes.byteLength);
  return Buffer.concat([length, bytes]);
}
