/** Puts text into capitals; refuses what is rude. */
export default {
  name: 'shout',
  run(member: { key: string; value: string }, { refuse }: { refuse(reason: string): never }) {
    const value: unknown = JSON.parse(member.value)
    if (value === 'rude') refuse('that is rude')
    return typeof value === 'string' ? { ...member, value: JSON.stringify(value.toUpperCase()) } : member
  },
}
