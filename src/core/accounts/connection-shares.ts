import { SECOND } from '../time.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';

/**
 * An instance without a heartbeat for this long counts as gone. Other instances take over what it
 * held.
 */
export const ABSENT_AFTER_MS = 15 * SECOND;

/** Right of an instance to send for an account, renewed by its heartbeat: plain JSON. */
export interface InstanceLease {
  /** Connections that the instance may hold. */
  connections: number;
  /** Epoch ms by the shared clock. */
  expiresAt: number;
  /** Attempts under way: their messages and recipients. */
  messages: number;
  recipients: number;
  /** Messages under way that the server may not have seen yet. */
  uncommitted: number;
  /**
   * Stops the instance after it could not reach a server over its own network. Absent: it has not
   * failed to.
   */
  reach?: CircuitBreaker;
}

/** By instance. */
export type InstanceLeases = Record<string, InstanceLease>;

export interface LeaseRules {
  /** Name of this instance, different from that of every other. */
  readonly instance: string;
  /** Maximum connections of all instances. */
  readonly connections: number;
  /** Maximum connections of this instance. */
  readonly connectionsHere: number;
  /** Lifetime of a lease that is not renewed. */
  readonly leaseMs: number;
}

export function newLease(): InstanceLease {
  return { connections: 0, expiresAt: 0, messages: 0, recipients: 0, uncommitted: 0 };
}

export function liveLeases(leases: InstanceLeases, now: number): InstanceLease[] {
  return Object.values(leases).filter(({ expiresAt }) => expiresAt > now);
}

/**
 * Connections that an instance may take: an equal share, and never one that another instance still
 * holds. The first instances get the remainder.
 *
 * @param total connections of all instances
 * @param max connections of one instance
 */
export function connectionShareOf(
  instance: string,
  leases: InstanceLeases,
  total: number,
  max: number,
): number {
  const instances = Object.keys(leases).sort();
  let heldElsewhere = 0;
  for (const id of instances) if (id !== instance) heldElsewhere += leases[id]?.connections ?? 0;
  const remainder = instances.indexOf(instance) < total % instances.length ? 1 : 0;
  const share = Math.floor(total / instances.length) + remainder;
  return Math.max(0, Math.min(max, share, total - heldElsewhere));
}

/**
 * Renews the lease of an instance.
 *
 * @param open connections that the instance still has
 * @returns connections that it may use
 */
export function renewLease(leases: InstanceLeases, rules: LeaseRules, open: number, now: number): number {
  const { instance, connections, connectionsHere, leaseMs } = rules;
  const lease = leases[instance] ?? newLease();
  leases[instance] = lease;
  const share = connectionShareOf(instance, leases, connections, connectionsHere);
  lease.connections = Math.max(share, open);
  lease.expiresAt = now + leaseMs;
  return share;
}
