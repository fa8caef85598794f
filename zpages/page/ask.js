// Requests to the service.

import { plain } from './format.js';

const patience = 5000; // ms until a request is given up

// Refusal is an answer with a status that says no.
export class Refusal extends Error {
  constructor(status, text) {
    super(`status ${status}`);
    this.status = status;
    this.text = plain(text.trim().replaceAll('\n', ' '), 400);
  }
}

// get returns what the service has at path. It throws a Refusal, or another error
// when there is no answer or when request, an AbortController, gave it up.
export async function get(path, request = new AbortController()) {
  const late = setTimeout(() => request.abort(), patience);
  try {
    const response = await fetch(path, { signal: request.signal });
    if (!response.ok) throw new Refusal(response.status, await response.text());
    return await response.json();
  } finally {
    clearTimeout(late);
  }
}
