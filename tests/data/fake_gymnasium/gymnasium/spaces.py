"""The spaces that the tests ask for."""


class Box:
    def __init__(self, low, high, shape, dtype="float32"):
        size = 1
        for n in shape:
            size *= n
        self.bounds, self.low, self.high = (low, high), [low] * size, [high] * size
        self.shape, self.dtype = shape, dtype

    def __repr__(self):
        return f"Box({self.bounds[0]}, {self.bounds[1]}, {self.shape}, {self.dtype})"


class Discrete:
    def __init__(self, n):
        self.n, self.shape, self.dtype = n, (), "int64"

    def __repr__(self):
        return f"Discrete({self.n})"
