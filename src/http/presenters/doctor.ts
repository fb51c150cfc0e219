import type { MadeReport } from '../../core/doctor-reports.ts';
import { toIso } from '../../core/time.ts';
import type { DoctorResource } from '../schemas/doctor.ts';

/** The resource of a report. */
export function toDoctorResource({ madeAt, checks, ...report }: MadeReport): DoctorResource {
  return { made_at: toIso(madeAt), ...report, checks: [...checks] };
}
