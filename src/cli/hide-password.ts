/** A URL with a password that came as a flag: from now on `ps` shows the title instead of the flags. */
export function hidePassword(url: string | undefined): void {
  const parsed = url === undefined ? null : URL.parse(url)
  if (parsed === null || (parsed.password === '' && parsed.search === '')) return
  // On Linux and macOS the title overwrites the arguments.
  process.title = 'manager'
}
