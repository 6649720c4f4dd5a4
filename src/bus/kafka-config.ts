/** @module The settings of a bus on Kafka. */

import { type Static, Type } from "typebox";

const text = (description: string) => Type.Optional(Type.String({ minLength: 1, description }));

const TlsConfig = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({ description: "False for connections in plain text, as if absent." }),
    ),
    ca: text("File (PEM) of the authorities that sign brokers; absent: the system's."),
    cert: text("File (PEM) of the certificate that this service shows to brokers."),
    key: text("File (PEM) of its private key."),
    serverName: text("The name in the brokers' certificates; absent: the host of each broker."),
  },
  { additionalProperties: false, description: "TLS to the brokers; absent: plain text." },
);

const SaslConfig = Type.Object(
  {
    mechanism: Type.Enum(["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"], {
      description: "How brokers are told who we are.",
    }),
    username: text("For `plain` and the two of SCRAM."),
    password: text("For `plain` and the two of SCRAM."),
    tokenFile: text("For `oauthbearer`: a file with the token, read for each connection."),
    tokenUrl: text("For `oauthbearer`: where a token is given for client id and secret."),
    clientId: text("For `tokenUrl`: the client id (RFC 6749, section 4.4)."),
    clientSecret: text("For `tokenUrl`: the client secret."),
    scope: text("For `tokenUrl`: the scope asked for."),
  },
  { additionalProperties: false, description: "Credentials for the brokers; absent: none." },
);

export const KafkaConfig = Type.Object(
  {
    brokers: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        minItems: 1,
        description: "`host:port` of some brokers. Absent: no Kafka, records travel in bus.db.",
      }),
    ),
    topicPrefix: Type.String({
      default: "pipewarden.",
      pattern: "^[a-zA-Z0-9._-]{0,100}$",
      description: "Before the names of topics and consumer groups: one for each installation.",
    }),
    partitions: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 4096,
        description: "Of each topic that workers share. Absent: what the topics have, or 4.",
      }),
    ),
    replicationFactor: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 32_767,
        description: "Copies of topics that are made. Absent: 3, or as many as there are brokers.",
      }),
    ),
    clientId: Type.String({
      default: "pipewarden",
      minLength: 1,
      description: "How brokers name this service in their logs and quotas.",
    }),
    sessionMs: Type.Integer({
      default: 10_000,
      minimum: 1_000,
      maximum: 300_000,
      description: "A process silent for this long loses its partitions to the others.",
    }),
    tls: Type.Optional(TlsConfig),
    sasl: Type.Optional(SaslConfig),
  },
  {
    additionalProperties: false,
    default: {},
    description: "The bus of several machines. `retention` counts by age there, handled or not.",
  },
);
export type KafkaConfig = Static<typeof KafkaConfig>;
