/** @module From the settings of a bus on Kafka to what reaches its brokers. */

import { readFileSync } from "node:fs";
import { type ConnectionOptions, createSecureContext } from "node:tls";
import type { Clock } from "../clock.ts";
import { ServiceError, shown } from "../error.ts";
import { isLoopback } from "../loopback.ts";
import type { KafkaConnection, KafkaSasl } from "./kafka-client.ts";
import type { KafkaConfig } from "./kafka-config.ts";
import { tokenFromFile, tokenFromServer } from "./kafka-token.ts";

/** What opens a bus on Kafka, beside its clock and who hears of trouble. */
export interface KafkaInstallation extends KafkaConnection {
  readonly topicPrefix: string;
  readonly sessionMs: number;
  readonly partitions?: number;
  readonly replicationFactor?: number;
}

/**
 * Reads the files that the settings name. Undefined when no brokers are set: there is no Kafka.
 * Throws ServiceError config-invalid with the setting's name, never with a secret.
 */
export function kafkaInstallation(
  config: KafkaConfig,
  clock: Clock,
): KafkaInstallation | undefined {
  const { brokers, topicPrefix, sessionMs, clientId, partitions, replicationFactor } = config;
  if (brokers === undefined) return undefined;
  for (const broker of brokers) {
    if (/^[^\s:]+:\d{1,5}$|^\[[\da-fA-F:.]+\]:\d{1,5}$/.test(broker)) continue;
    throw invalid("brokers", "host:port", shown(broker));
  }
  const sasl = saslOf(config, clock);
  const ssl = tlsOf(config);
  return {
    ...{ brokers, topicPrefix, sessionMs, clientId },
    ...(partitions === undefined ? {} : { partitions }),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

function tlsOf({ tls }: KafkaConfig): true | ConnectionOptions | undefined {
  if (tls === undefined || tls.enabled === false) return undefined;
  const { ca, cert, key, serverName } = tls;
  if ((cert === undefined) !== (key === undefined)) {
    const [has, lacks] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw invalid(`tls.${lacks}`, `a file, as tls.${has} names one`, "none");
  }
  const options: ConnectionOptions = {
    ...(ca === undefined ? {} : { ca: pem("tls.ca", ca) }),
    ...(cert === undefined ? {} : { cert: pem("tls.cert", cert) }),
    ...(key === undefined ? {} : { key: pem("tls.key", key) }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
  try {
    createSecureContext(options);
  } catch (error) {
    const found = shown((error as NodeJS.ErrnoException).code ?? "files that do not");
    throw invalid("tls", "certificates and a key that go together", found);
  }
  return Object.keys(options).length === 0 ? true : options;
}

function pem(setting: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw invalid(setting, "a file that can be read", `${shown(path)}: ${code ?? "unreadable"}`);
  }
  // OpenSSL takes a file without any for one with no authorities.
  if (text.includes("-----BEGIN ")) return text;
  throw invalid(setting, "a file in PEM", `${shown(path)}: none in ${text.length} characters`);
}

function saslOf({ sasl, tls, brokers }: KafkaConfig, clock: Clock): KafkaSasl | undefined {
  if (sasl === undefined) return undefined;
  const { mechanism } = sasl;
  const far = brokers?.some((broker) => !isLoopback(broker.replace(/^\[?(.*?)\]?:\d+$/, "$1")));
  if (tls === undefined && far === true && !mechanism.startsWith("scram")) {
    const expected = `a section, as ${mechanism} sends its secret as it is; enabled: false in it`;
    throw invalid("tls", `${expected} where nobody can listen`, "none");
  }
  const wanted = <K extends keyof typeof sasl>(key: K): NonNullable<(typeof sasl)[K]> => {
    const value = sasl[key];
    if (value !== undefined) return value;
    throw invalid(`sasl.${key}`, `a value, as sasl.mechanism is ${mechanism}`, "none");
  };
  if (mechanism !== "oauthbearer") {
    return { mechanism, username: wanted("username"), password: wanted("password") };
  }
  const { tokenFile, tokenUrl, scope } = sasl;
  if ((tokenFile === undefined) === (tokenUrl === undefined)) {
    const found = tokenFile === undefined ? "none" : "both";
    throw invalid("sasl", "either tokenFile or tokenUrl for oauthbearer", found);
  }
  if (tokenFile !== undefined) return { mechanism, token: tokenFromFile(tokenFile) };
  const url = wanted("tokenUrl");
  if (!isSafe(url)) throw invalid("sasl.tokenUrl", "an https address", "another one");
  const token = tokenFromServer({
    ...{ url, clock, clientId: wanted("clientId"), clientSecret: wanted("clientSecret") },
    ...(scope === undefined ? {} : { scope }),
  });
  return { mechanism, token };
}

/** The client secret goes there: readable by nobody on the way. */
function isSafe(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, username, password } = new URL(url);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname));
}

function invalid(setting: string, expected: string, found: string): ServiceError {
  const place = `bus.kafka.${setting}`;
  return new ServiceError({ code: "config-invalid", place, expected, found });
}
