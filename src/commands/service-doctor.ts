import type { Environment } from '../config/environment.ts';
import type { MakeReport } from '../core/ports/doctor-report.ts';

export interface ServiceDoctorOptions {
  /** Returns the environment that the service is configured with now. */
  readonly env: () => Environment;
  readonly envFile?: string | null;
  readonly version: string;
  /** PEM of a CA to trust in addition to Node's. */
  readonly ca?: string | null;
}

/** Creates the doctor of a running service. Loads it with the first report. */
export function createServiceDoctor({
  env,
  envFile = null,
  version,
  ca = null,
}: ServiceDoctorOptions): MakeReport {
  return async (service) => {
    const [{ runDoctor }, { toResource }] = await Promise.all([
      import('../doctor/doctor.ts'),
      import('../doctor/report.ts'),
    ]);
    return toResource(
      await runDoctor({ env: env(), envFile, version, sendTo: null, network: { ca }, service }),
    );
  };
}
