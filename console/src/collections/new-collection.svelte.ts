/** Whether the dialog for a new collection is open: several places lead to it. */

class NewCollection {
  isOpen = $state(false)

  ask(): void {
    this.isOpen = true
  }
}

export const newCollection = new NewCollection()
