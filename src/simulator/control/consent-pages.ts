/** The pages of the simulated consent, as plain HTML. */
import { SCOPE } from '../auth/service-account.ts';

/** On the chooser beside the account that the client hints at. */
const OTHER_ACCOUNT = 'other@simulator.test';
/** Parameters of the pages, which are not part of the client's request. */
const PAGE_PARAMETERS = ['account', 'choose'];

export function renderChooser(query: URLSearchParams): string {
  const accounts = new Set([query.get('login_hint') ?? '', OTHER_ACCOUNT].filter(Boolean));
  const links = [...accounts].map((account) => {
    const next = new URLSearchParams([...requestOf(query), ['account', account]]);
    return `<li><a href="?${escapeHtml(next.toString())}">${escapeHtml(account)}</a></li>`;
  });
  return page(
    'Choose an account',
    `<ul>${links.join('')}</ul>
<form>${hiddenFields(query)}<label>Use another account <input type="email" name="account" required></label>
<button>Next</button></form>`,
  );
}

export function renderConsent(query: URLSearchParams, account: string): string {
  const choose = new URLSearchParams([...requestOf(query), ['choose', '1']]);
  const wantsMail = (query.get('scope') ?? '').split(' ').includes(SCOPE);
  const checkbox =
    '<label><input type="checkbox" name="mail" value="granted"> Read, compose, send, and permanently delete all your email from Gmail</label>';
  return page(
    'Outtray wants access to your Google Account',
    `<p>${escapeHtml(account)} <a href="?${escapeHtml(choose.toString())}">Use another account</a></p>
<form method="post">${hiddenFields(query)}<input type="hidden" name="account" value="${escapeHtml(account)}">
<p>Select what Outtray can access</p>${wantsMail ? checkbox : ''}
<p><button name="decision" value="cancel">Cancel</button> <button name="decision" value="continue">Continue</button></p></form>`,
  );
}

export function renderError(name: string, text: string): string {
  return page('Access blocked', `<p>${escapeHtml(text)}</p><p>Error: ${escapeHtml(name)}</p>`);
}

/** The parameters of the client's request, without those of the pages. */
function requestOf(query: URLSearchParams): [string, string][] {
  return [...query].filter(([name]) => !PAGE_PARAMETERS.includes(name));
}

function hiddenFields(query: URLSearchParams): string {
  return requestOf(query)
    .map(([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`)
    .join('');
}

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title} - Gmail simulator</title>
<style>body{font:16px sans-serif;max-width:40em;margin:3em auto;padding:0 1em}label{display:block}</style>
<h1>${title}</h1>${body}</html>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
