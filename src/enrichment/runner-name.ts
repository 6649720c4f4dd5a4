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

/** The keys a runner is found under: its name, and its name as the hooks would cut it. */
export function runnerKeys(runner: string): readonly string[] {
  const name = runner.toLowerCase();
  return [...new Set([name, name.slice(0, jobBaseMax), name.slice(0, stepBaseMax)])];
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
