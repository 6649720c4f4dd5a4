/**
 * @module Mask: takes secret values out of text that people and sinks will see; what is not a
 * secret stays whole.
 */

const masked = "[masked]";

/** One shape of a secret; `$1` in `put` keeps what stands before it. */
interface Shape {
  readonly pattern: RegExp;
  readonly put: string;
  /** Where given, the shape is looked for only in what this matches. */
  readonly within?: RegExp;
}

/** The rest of a command: up to a line end or a `;`, `|` or `&` that stands at a space. */
const restOfCommand = "(?:(?!\\s[;|&]|[;|&]\\s)[^\\r\\n])*";
const registryTool = "docker|podman|nerdctl|buildah|skopeo|crane|regctl|oras|helm|az|oc|cf";
/** `docker login`, with at most four words between: `helm registry login`. */
const loginCommand = `\\b(?:${registryTool})(?:\\s+[^\\s;|&]+){0,4}?\\s+login\\b`;
/** What is masked is left as it is; a port map (`8080:80`, `10.0.0.1:53:53/udp`) is no secret. */
const noValue = "=?\\[masked\\]|(?:[\\d.]{7,15}:)?\\d{1,5}:\\d{1,5}(?:/(?:tcp|udp))?(?!\\S)";

// Words that make the value behind `=` or `:` a secret. The short ones only as a whole word:
// `author`, `bypass` are none.
const longWord =
  "[A-Za-z0-9_.-]{0,64}(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|" +
  "private[_-]?key|credentials?)";
const shortWord = "(?:[A-Za-z0-9_.-]{0,63}[_.-])?(?:pass|pwd|auth)";
const secretWord = `(?:${longWord}|${shortWord})(?:[_.-][A-Za-z0-9_.-]{0,32})?`;

/**
 * In order: the first shapes are the most certain. Token forms are the ones their issuers document:
 * GitHub (ghp_, gho_, ghu_, ghs_, ghr_, github_pat_), AWS access key ids (AKIA, ASIA), Slack,
 * Discord, Telegram, GitLab, package registries, Vault, Stripe, Anthropic, OpenAI, Google, Standard
 * Webhooks, JWT, PEM blocks. Every pattern runs in linear time: no repeated group holds another
 * repetition over the same characters.
 */
const shapes: readonly Shape[] = [
  {
    pattern: /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}-----|$)/g,
    put: masked,
  },
  { pattern: /\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,})/g, put: masked },
  { pattern: /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, put: masked },
  {
    pattern:
      /\b(?:gl(?:pat|dt|rt|ptt|cbt|soat|agent)-|npm_|pypi-|dckr_pat_|xox[a-z]-|xapp-)[\w.-]{16,}/g,
    put: masked,
  },
  {
    pattern: /\b(?:sk-(?:ant|proj|svcacct)-|[sr]k_(?:live|test)_|AIza|hv[sbr]\.)[\w-]{16,}/g,
    put: masked,
  },
  { pattern: /\bwhsec_[A-Za-z0-9+/=_-]{16,}/g, put: masked },
  // Addresses that are secrets themselves: whoever has one may post. The host stays.
  {
    pattern: /(\bhooks\.slack(?:-gov)?\.com\/(?:services|workflows|triggers)\/)[\w/-]+/gi,
    put: `$1${masked}`,
  },
  {
    pattern: /(\bdiscord(?:app)?\.com\/api\/(?:v\d{1,2}\/)?webhooks\/\d{1,20}\/)[\w-]+/gi,
    put: `$1${masked}`,
  },
  // Telegram: the bot's number, a colon, 35 characters.
  { pattern: /((?<!\d)\d{6,12}:)[\w-]{35}(?![\w-])/g, put: `$1${masked}` },
  { pattern: /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?/g, put: masked },
  // https://user:password@host and user:password@host; the colon must be followed by the password.
  { pattern: /(:\/\/[^\s/:@]{0,128}:)[^\s/@]{1,256}(?=@)/g, put: `$1${masked}` },
  {
    pattern:
      /(^|[\s"'=])([A-Za-z0-9._-]{1,64}:)[^\s/:@]{1,256}(?=@(?!sha(?:256|512):)[A-Za-z0-9])/g,
    put: `$1$2${masked}`,
  },
  { pattern: /(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}/gi, put: `$1${masked}` },
  // `Authorization: token abc`, `x-api-key: abc` as in -H of curl.
  {
    pattern: new RegExp(
      "(\\b(?:authorization|x-api-key|x-auth-token|private-token|cookie)\\s{0,4}:\\s{0,4})" +
        "(?!\\[masked\\]|\\s|(?:bearer|basic)\\b)[^\"'\\r\\n]{1,512}",
      "gi",
    ),
    put: `$1${masked}`,
  },
  // The query of an address, signed ones of Azure, AWS and Google too: the value up to its end.
  {
    pattern: new RegExp(
      "([?&](?:amp;)?(?:key|sig|signature|code|pass|pwd|auth|x-(?:amz|goog)-signature|" +
        `${longWord})=)(?!\\[masked\\])[^\\s&#"']+`,
      "gi",
    ),
    put: `$1${masked}`,
  },
  // NPM_TOKEN=abc, password: abc, "secret":"abc", --password=abc, and `--password abc`.
  {
    pattern: new RegExp(
      `(\\b${secretWord}["']?\\s{0,4}[=:]\\s{0,4}["']?)` +
        `(?!\\[masked\\]|\\s|//)[^\\s"',;&|]{1,512}`,
      "gi",
    ),
    put: `$1${masked}`,
  },
  {
    // `--password-stdin` and `--token-file` name where the secret is, not the secret.
    pattern: new RegExp(
      `(--?${secretWord}(?<!-(?:stdin|file|path))\\s+["']?)(?!\\[masked\\]|-)[^\\s"']{1,512}`,
      "gi",
    ),
    put: `$1${masked}`,
  },
  // `-p` is a password to these alone: docker login -p abc, sshpass -p abc, mysql -pabc.
  {
    within: new RegExp(`(?<=${loginCommand})${restOfCommand}`, "g"),
    pattern: new RegExp(`(\\s-p(?:\\s+|=)?["']?)(?!${noValue})[^\\s"']+`, "g"),
    put: `$1${masked}`,
  },
  {
    pattern: /(\bsshpass\s+(?:-v\s+|-P\s*[^\s-]\S*\s+){0,3}-p\s*["']?)(?!\[masked\])[^\s"']+/g,
    put: `$1${masked}`,
  },
  {
    within: new RegExp(`\\b(?:mysql[a-z]*|mariadb(?:-[a-z]+)?)(?=\\s)${restOfCommand}`, "g"),
    pattern: new RegExp(`(\\s-p["']?)(?!${noValue})[^\\s"']+`, "g"),
    put: `$1${masked}`,
  },
  // aws configure set aws_secret_access_key abc, and the like of other tools.
  {
    pattern: new RegExp(
      "(\\bconfig(?:ure)?\\s+(?:--[a-z-]{1,32}[\\s=]\\S{1,128}\\s+){0,3}set\\s+" +
        "[^\\s=]{0,128}(?:secret|token|passw|key|_auth)[^\\s=]{0,64}\\s+[\"']?)" +
        "(?!\\[masked\\])[^\\s\"']+",
      "gi",
    ),
    put: `$1${masked}`,
  },
  // An environment block: any upper-case NAME=value. Names say what was read; values stay out.
  {
    pattern: /((?:^|[\s"';\0])[A-Z][A-Z0-9_]{2,63}=["']?)(?!\[masked\])[^\s"';\0]{1,512}/g,
    put: `$1${masked}`,
  },
  // curl -u user:password; a pair of numbers is a user and group id (`-u 1000:1000`).
  {
    pattern: new RegExp(
      `((?:^|\\s)(?:-u|--user)[\\s=]["']?)(?!\\d{1,10}:\\d{1,10}(?:["']|\\s|$))` +
        `([A-Za-z0-9._@-]{1,64}:)(?!\\[masked\\])[^\\s"']{1,256}`,
      "g",
    ),
    put: `$1$2${masked}`,
  },
];

/** Longer text is cut before it is searched, so that masking costs little whatever comes in. */
const lengthMax = 16_384;

/**
 * The text with each value that looks like a secret replaced by `[masked]`. Names and user names
 * stay: they say which secret is meant. Masking twice gives the same text. It errs towards masking;
 * port maps and numeric ids stay whole. Text beyond 16,384 characters is cut off.
 */
export function mask(text: string): string {
  let out = text.length > lengthMax ? text.slice(0, lengthMax) : text;
  for (const { pattern, put, within } of shapes) {
    out =
      within === undefined
        ? out.replace(pattern, put)
        : out.replace(within, (part) => part.replace(pattern, put));
  }
  return out;
}
