/**
 * @module How a runner's name shows in a pod's name: Actions Runner Controller derives one from the
 * other.
 */

/**
 * A Kubernetes name holds 63 characters; the container hooks cut the runner's part to make room for
 * their suffix.
 */
const nameLengthMax = 63;
const jobSuffix = "-workflow";
const stepMark = "-step-";
const stepIdLength = 8;
const jobBaseMax = nameLengthMax - jobSuffix.length;
const stepBaseMax = nameLengthMax - stepMark.length - stepIdLength;

/**
 * One way to read a pod's name: the key to look up, and whether the runner's name may go on after
 * it.
 */
export interface PodReading {
  readonly key: string;
  readonly cut: boolean;
}

/** The name of the runner as the hooks cut it, where it is long enough to be cut. */
export function cutKeys(runner: string): readonly PodReading[] {
  const name = runner.toLowerCase();
  return [jobBaseMax, stepBaseMax]
    .filter((length) => name.length >= length)
    .map((length) => ({ key: name.slice(0, length), cut: true }));
}

/** One text for a reading, in maps. */
export function readingKey({ key, cut }: PodReading): string {
  return cut ? `cut:${key}` : `runner:${key}`;
}

export function isReadingKey(key: string): boolean {
  return key.startsWith("runner:") || key.startsWith("cut:");
}

/**
 * The runners a pod may belong to: the runner pod bears the runner's name, its job pod
 * `<runner>-workflow` and its step pods `<runner>-step-<8>-…`.
 */
export function podReadings(pod: string): readonly PodReading[] {
  const name = pod.toLowerCase();
  const readings: PodReading[] = [{ key: name, cut: false }];
  if (name.endsWith(jobSuffix) && name.length > jobSuffix.length) {
    const base = name.slice(0, -jobSuffix.length);
    readings.push({ key: base, cut: base.length === jobBaseMax });
  }
  const step = name.lastIndexOf(stepMark);
  if (step > 0) {
    const base = name.slice(0, step);
    readings.push({ key: base, cut: base.length === stepBaseMax });
  }
  return readings;
}

/** Whether a runner found under a reading's key is one it can mean. */
export function readingFits(reading: PodReading, runner: string): boolean {
  const name = runner.toLowerCase();
  return reading.cut ? name.startsWith(reading.key) : name === reading.key;
}
