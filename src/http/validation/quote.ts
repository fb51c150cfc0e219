const MAX_LENGTH = 100;

/** A part of a request as an error text may repeat it: visible ASCII on one line, in backticks, 100 characters at most. */
export function quote(text: string): string {
  const visible = text.replace(/[^ -_a-~]/g, '?');
  return `\`${visible.length > MAX_LENGTH ? `${visible.slice(0, MAX_LENGTH - 1)}…` : visible}\``;
}
