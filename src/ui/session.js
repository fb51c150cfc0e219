import { decode } from './router.js';

/** Instances behind several prefixes of one host have keys of their own. */
const NAME = `outtray-key ${location.pathname}`;

/**
 * Returns the key of this tab, or null. A key in the fragment of the URL is removed from the
 * address at once, and used only in the demo.
 */
export function readKey() {
  const offered = takeOfferedKey();
  if (offered !== null && isDemo()) saveKey(offered);
  return sessionStorage.getItem(NAME);
}

/** @param {string} secret */
export function saveKey(secret) {
  sessionStorage.setItem(NAME, secret);
}

export function forgetKey() {
  sessionStorage.removeItem(NAME);
}

/** Whether the fragment of the URL has a key. */
export function isKeyOffered() {
  return location.hash.startsWith('#key=');
}

function takeOfferedKey() {
  if (!isKeyOffered()) return null;
  const secret = decode(location.hash.slice('#key='.length));
  history.replaceState(null, '', location.pathname + location.search);
  return secret;
}

/** Whether the service is `outtray demo`. It says so in its markup: `<html data-demo="true">`. */
export function isDemo() {
  return document.documentElement.dataset.demo === 'true';
}

/** The version of the service. */
export function version() {
  return document.documentElement.dataset.version ?? '';
}
