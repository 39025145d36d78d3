"""Lightning's own image classifier, with a backbone and a data module, as its examples have it; but
on scikit-learn's digits, which need no download. The lines with edgecompress in them are added.

    pip install 'edgecompress[lightning]' scikit-learn
    python examples/with_lightning.py
"""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

import edgecompress


class Backbone(torch.nn.Module):
    def __init__(self, hidden_dim=128):
        super().__init__()
        self.l1 = torch.nn.Linear(8 * 8, hidden_dim)
        self.l2 = torch.nn.Linear(hidden_dim, 10)

    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = torch.relu(self.l1(x))
        return self.l2(x)


class LitClassifier(L.LightningModule):
    def __init__(self, backbone, learning_rate=0.001):
        super().__init__()
        self.save_hyperparameters(ignore=["backbone"])
        self.backbone = backbone

    def forward(self, x):
        return self.backbone(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        y_hat = self(x)
        return F.cross_entropy(y_hat, y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        y_hat = self(x)
        self.log("valid_loss", F.cross_entropy(y_hat, y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)


class MyDataModule(L.LightningDataModule):
    def __init__(self, batch_size=32):
        super().__init__()
        digits = load_digits()
        images = torch.from_numpy(digits.images).float()[:, None] / 16
        dataset = TensorDataset(images, torch.from_numpy(digits.target))
        self.train_set, self.val_set = random_split(dataset, [1400, 397])
        self.batch_size = batch_size

    def train_dataloader(self):
        return DataLoader(self.train_set, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val_set, batch_size=self.batch_size)


if __name__ == "__main__":
    L.seed_everything(0)
    trainer = L.Trainer(max_epochs=5, accelerator="cpu")
    trainer.fit(LitClassifier(Backbone()), datamodule=MyDataModule())
    report = edgecompress.compress(trainer, target="local")
    print(report)
