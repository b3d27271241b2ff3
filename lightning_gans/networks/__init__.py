"""Define networks and nothing else, one file per architecture."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.networks.acgan import Discriminator as ACGANDiscriminator
    from lightning_gans.networks.acgan import Generator as ACGANGenerator
    from lightning_gans.networks.began import Autoencoder as BEGANAutoencoder
    from lightning_gans.networks.began import DenseAutoencoder as BEGANDenseAutoencoder
    from lightning_gans.networks.began import DenseGenerator as BEGANDenseGenerator
    from lightning_gans.networks.began import Generator as BEGANGenerator
    from lightning_gans.networks.biggan import Discriminator as BigGANDiscriminator
    from lightning_gans.networks.biggan import Generator as BigGANGenerator
    from lightning_gans.networks.biggan_deep import Discriminator as BigGANDeepDiscriminator
    from lightning_gans.networks.biggan_deep import Generator as BigGANDeepGenerator
    from lightning_gans.networks.cgan import Discriminator as CGANDiscriminator
    from lightning_gans.networks.cgan import Generator as CGANGenerator
    from lightning_gans.networks.cgan_dcgan import Discriminator as ConditionalDCGANDiscriminator
    from lightning_gans.networks.cgan_dcgan import Generator as ConditionalDCGANGenerator
    from lightning_gans.networks.dcgan import Discriminator as DCGANDiscriminator
    from lightning_gans.networks.dcgan import Encoder as DCGANEncoder
    from lightning_gans.networks.dcgan import Generator as DCGANGenerator
    from lightning_gans.networks.infogan import Discriminator as InfoGANDiscriminator
    from lightning_gans.networks.infogan import Generator as InfoGANGenerator
    from lightning_gans.networks.lapgan import Discriminator as LAPGANDiscriminator
    from lightning_gans.networks.lapgan import Generator as LAPGANGenerator
    from lightning_gans.networks.mlp import Discriminator as MLPDiscriminator
    from lightning_gans.networks.mlp import Generator as MLPGenerator
    from lightning_gans.networks.patchgan import Discriminator as PatchGANDiscriminator
    from lightning_gans.networks.pix2pix_hd import Discriminator as Pix2PixHDDiscriminator
    from lightning_gans.networks.pix2pix_hd import Encoder as Pix2PixHDEncoder
    from lightning_gans.networks.pix2pix_hd import Generator as Pix2PixHDGenerator
    from lightning_gans.networks.progan import Discriminator as ProGANDiscriminator
    from lightning_gans.networks.progan import Generator as ProGANGenerator
    from lightning_gans.networks.r3gan import Discriminator as R3GANDiscriminator
    from lightning_gans.networks.r3gan import Generator as R3GANGenerator
    from lightning_gans.networks.resnet import Discriminator as ResNetDiscriminator
    from lightning_gans.networks.resnet import Generator as ResNetGenerator
    from lightning_gans.networks.semi_supervised import Discriminator as SemiSupervisedDiscriminator
    from lightning_gans.networks.srgan import Discriminator as SRGANDiscriminator
    from lightning_gans.networks.srgan import SRResNet
    from lightning_gans.networks.stackgan import Discriminator as StackGANDiscriminator
    from lightning_gans.networks.stackgan import Generator as StackGANGenerator
    from lightning_gans.networks.stylegan import Generator as StyleGANGenerator
    from lightning_gans.networks.stylegan2 import Discriminator as StyleGAN2Discriminator
    from lightning_gans.networks.stylegan2 import Generator as StyleGAN2Generator
    from lightning_gans.networks.table import Decoder as TableDecoder
    from lightning_gans.networks.table import Discriminator as TableDiscriminator
    from lightning_gans.networks.table import Encoder as TableEncoder
    from lightning_gans.networks.table import Generator as TableGenerator
    from lightning_gans.networks.talking_heads import Discriminator as TalkingHeadsDiscriminator
    from lightning_gans.networks.talking_heads import Encoder as TalkingHeadsEncoder
    from lightning_gans.networks.talking_heads import Generator as TalkingHeadsGenerator
    from lightning_gans.networks.translation_resnet import Generator as TranslationResNetGenerator
    from lightning_gans.networks.unet import Generator as UNetGenerator
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ACGANDiscriminator",
    "ACGANGenerator",
    "BEGANAutoencoder",
    "BEGANDenseAutoencoder",
    "BEGANDenseGenerator",
    "BEGANGenerator",
    "BigGANDiscriminator",
    "BigGANDeepDiscriminator",
    "BigGANDeepGenerator",
    "BigGANGenerator",
    "CGANDiscriminator",
    "CGANGenerator",
    "ConditionalDCGANDiscriminator",
    "ConditionalDCGANGenerator",
    "DCGANDiscriminator",
    "DCGANEncoder",
    "DCGANGenerator",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "LAPGANDiscriminator",
    "LAPGANGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "PatchGANDiscriminator",
    "Pix2PixHDDiscriminator",
    "Pix2PixHDEncoder",
    "Pix2PixHDGenerator",
    "ProGANDiscriminator",
    "ProGANGenerator",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SRGANDiscriminator",
    "SRResNet",
    "SemiSupervisedDiscriminator",
    "StackGANDiscriminator",
    "StackGANGenerator",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "StyleGANGenerator",
    "TableDecoder",
    "TableDiscriminator",
    "TableEncoder",
    "TableGenerator",
    "TalkingHeadsDiscriminator",
    "TalkingHeadsEncoder",
    "TalkingHeadsGenerator",
    "TranslationResNetGenerator",
    "UNetGenerator",
]
