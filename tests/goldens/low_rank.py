"""What the generators of golden files share."""
from torch import nn


class LowRank(nn.Module):
    """Inner width `rank`; a bias on the second factor alone, where there was one."""

    def __init__(self, linear, rank):
        super().__init__()
        self.encode = nn.Linear(linear.in_features, rank, bias=False)
        self.decode = nn.Linear(rank, linear.out_features, bias=linear.bias is not None)

    def forward(self, x):
        return self.decode(self.encode(x))


def factorise(part, rank):
    """Replaces each linear of `part` by one of that rank, or of its smaller side where that is less."""
    for module in list(part.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, LowRank(child, min(rank, child.in_features, child.out_features)))
