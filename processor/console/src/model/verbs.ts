// What can be done with an instance, and when that makes sense. Whether it is accepted is the processors' to say.

export type Verb = 'cancel' | 'suspend' | 'resume' | 'retry';

export const VERBS: Record<Verb, { name: string; does: string; fits: string[] }> = {
  retry: { name: 'Retry', does: 'Begins all its failed tasks again.', fits: ['incident'] },
  resume: { name: 'Resume', does: 'Lets it go on.', fits: ['suspended', 'incident'] },
  suspend: { name: 'Suspend', does: 'Holds it until it is resumed.', fits: ['running', 'incident'] },
  cancel: { name: 'Cancel', does: 'Ends it.', fits: ['running', 'suspended', 'incident'] },
};

export function hasEnded(status: string): boolean {
  return status === 'completed' || status === 'faulted' || status === 'cancelled';
}

/** What became of a command, in a few words. */
export function outcomeOf(command: { answer?: string; outcome?: string }): string {
  if (command.answer === 'timed_out') return 'sent; not decided yet';
  return command.outcome?.replaceAll('_', ' ') ?? 'accepted';
}
