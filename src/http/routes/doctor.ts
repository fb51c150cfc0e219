import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { DoctorReports } from '../../core/doctor-reports.ts';
import { toDoctorResource } from '../presenters/doctor.ts';
import { doctorReport } from '../schemas/doctor.ts';
import { keyedResponses, success } from '../schemas/responses.ts';

export interface DoctorOptions {
  readonly doctor: DoctorReports;
}

/** GET /doctor: the report of the doctor. */
export const doctorRoutes: FastifyPluginAsyncZod<DoctorOptions> = async (app, { doctor }) => {
  app.get(
    '/doctor',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'getDoctorReport',
        tags: ['accounts'],
        summary: 'Check the setup',
        description: `Checks everything that sending mail depends on, as \`outtray doctor\` does: the
configuration, the connection to Gmail, the login of each account, and the DNS records of each From domain.
Sends nothing. Returns the last report if it is less than a minute old. A new report can take a minute if a
server does not respond.`,
        response: keyedResponses({ 200: success('The report.', doctorReport) }),
      },
    },
    async () => toDoctorResource(await doctor.read()),
  );
};
