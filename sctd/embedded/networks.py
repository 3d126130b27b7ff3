"""The embedded prior's text encoder and UNet, untrained or of a weights folder."""

from __future__ import annotations

from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sctd.embedded.vae import CHANNELS
from sctd.embedded.weights import load_pipeline
from sctd.prior.views import FEATURES, class_labels, last_places

TEXT_WIDTH = 128
LATENT_SIZE = 16


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise levels, v-prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def new_unet() -> UNet2DConditionModel:
    """Stable Diffusion's layout, small, that reads cameras.

    Parameters are cheap at few pixels, so the levels of 8x8 and 4x4 are wide and attend to the text. Time,
    camera and text scale and shift every block (``scale_shift``).
    """
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 128, 224),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=16,
        time_embedding_dim=512,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=FEATURES + TEXT_WIDTH,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class TextAndUNet(nn.Module):
    """The two networks that are trained together, as one module."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = new_text_encoder(tokenizer)
        self.unet = new_unet()
        self._end = int(tokenizer.eos_token_id)

    def encode(self, tokens: Tensor) -> Tensor:
        """Token numbers [n, L] => embeddings [n, min(L, PLACES), TEXT_WIDTH], what the UNet is told."""
        embeddings: Tensor = self.text_encoder(tokens)[0]
        return last_places(embeddings, tokens, self._end)

    def forward(self, z: Tensor, t: Tensor, embeddings: Tensor, features: Tensor) -> Tensor:
        """Noisy latents [B, C, h, w], t [B], texts and camera features (zeros: none) => v, like z."""
        labels = class_labels(features, embeddings)
        v: Tensor = self.unet(z, t, embeddings, class_labels=labels).sample
        return v


def load_networks(folder: Path) -> tuple[AutoencoderKL, CLIPTokenizer, TextAndUNet]:
    """Autoencoder, tokenizer and the two trained networks of a weights folder, float32."""
    pipeline = load_pipeline(folder)
    model = TextAndUNet(pipeline.tokenizer)
    model.text_encoder.load_state_dict(pipeline.text_encoder.state_dict())
    model.unet.load_state_dict(pipeline.unet.state_dict())
    return pipeline.vae.eval(), pipeline.tokenizer, model
