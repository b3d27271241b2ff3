"""Train GAN families: one LightningModule each, with what its paper adds."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.models.acgan import ACGAN
    from lightning_gans.models.adversarial import AdversarialModule
    from lightning_gans.models.base import GenerativeModule
    from lightning_gans.models.began import BEGAN
    from lightning_gans.models.biggan import BigGAN
    from lightning_gans.models.cgan import CGAN
    from lightning_gans.models.ctgan import CTGAN
    from lightning_gans.models.cyclegan import CycleGAN
    from lightning_gans.models.dcgan import DCGAN
    from lightning_gans.models.dragan import DRAGAN
    from lightning_gans.models.ema import EMA
    from lightning_gans.models.gan import GAN
    from lightning_gans.models.infogan import InfoGAN
    from lightning_gans.models.lapgan import LAPGAN
    from lightning_gans.models.lazy_adam import LazyAdam
    from lightning_gans.models.lsgan import LSGAN
    from lightning_gans.models.pix2pix import Pix2Pix
    from lightning_gans.models.pix2pix_hd import Pix2PixHD
    from lightning_gans.models.pool import ImagePool
    from lightning_gans.models.progan import ProGAN
    from lightning_gans.models.r3gan import R3GAN
    from lightning_gans.models.sagan import SAGAN
    from lightning_gans.models.semi_supervised import SemiSupervisedGAN
    from lightning_gans.models.sngan import SNGAN
    from lightning_gans.models.srgan import SRGAN
    from lightning_gans.models.stackgan import StackGAN
    from lightning_gans.models.stylegan import StyleGAN
    from lightning_gans.models.stylegan2 import StyleGAN2
    from lightning_gans.models.talking_heads import TalkingHeads
    from lightning_gans.models.translation import TranslationModule
    from lightning_gans.models.tvae import TVAE
    from lightning_gans.models.vae import VAE
    from lightning_gans.models.wgan import WGAN
    from lightning_gans.models.wgan_gp import WGANGP
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ACGAN",
    "AdversarialModule",
    "BEGAN",
    "BigGAN",
    "CGAN",
    "CTGAN",
    "CycleGAN",
    "DCGAN",
    "DRAGAN",
    "EMA",
    "GAN",
    "GenerativeModule",
    "ImagePool",
    "InfoGAN",
    "LAPGAN",
    "LSGAN",
    "LazyAdam",
    "Pix2Pix",
    "Pix2PixHD",
    "ProGAN",
    "R3GAN",
    "SAGAN",
    "SNGAN",
    "SRGAN",
    "SemiSupervisedGAN",
    "StackGAN",
    "StyleGAN",
    "StyleGAN2",
    "TVAE",
    "TalkingHeads",
    "TranslationModule",
    "VAE",
    "WGAN",
    "WGANGP",
]
