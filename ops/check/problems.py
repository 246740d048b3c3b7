"""What does not hold, collected: one run tells all of it."""


class Problems:
    def __init__(self):
        self.found = []

    def add(self, where, what):
        self.found.append(f"{where}: {what}")

    def unless(self, holds, where, what):
        if not holds:
            self.add(where, what)
        return bool(holds)
