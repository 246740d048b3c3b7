// Server-sent events out of a stream of text, as https://html.spec.whatwg.org/multipage/server-sent-events.html says. The browser's own
// EventSource cannot show a token.

export interface Message {
  event: string;
  data: string;
}

/** Is fed the text as it comes, in pieces of any size. */
export class Parser {
  /** Where a stream that was cut off goes on. */
  lastId = '';
  #line = '';
  #event = '';
  #id: string | undefined;
  #data: string[] = [];
  #endsInCr = false;

  push(text: string): Message[] {
    const messages: Message[] = [];
    // A line ends with CR, LF or both; these two may come in different pieces.
    let piece = this.#endsInCr && text.startsWith('\n') ? text.slice(1) : text;
    if (text !== '') this.#endsInCr = text.endsWith('\r');
    for (;;) {
      const end = piece.search(/[\r\n]/);
      if (end < 0) break;
      const line = this.#line + piece.slice(0, end);
      this.#line = '';
      piece = piece.slice(end + (piece.startsWith('\r\n', end) ? 2 : 1));
      const message = this.#take(line);
      if (message) messages.push(message);
    }
    this.#line += piece;
    return messages;
  }

  #take(line: string): Message | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    // A comment (an empty field), `retry`, and what is not known, say nothing.
    return undefined;
  }

  #dispatch(): Message | undefined {
    // Only now: a stream that is cut off in an event goes on with that event.
    this.lastId = this.#id ?? this.lastId;
    const message = { event: this.#event || 'message', data: this.#data.join('\n') };
    const isEmpty = this.#data.length === 0;
    this.#event = '';
    this.#data = [];
    return isEmpty ? undefined : message;
  }
}
