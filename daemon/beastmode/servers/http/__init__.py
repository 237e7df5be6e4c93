"""The HTTP door: one port of this machine for every tool that speaks OpenAI's or Anthropic's protocols."""
