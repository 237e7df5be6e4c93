"""The plugins that come with the daemon; they enter by the same door as anyone's (docs/plugins.md)."""
