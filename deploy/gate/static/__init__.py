"""The static judgement: rules, and the deployed code's models against what the statements leave."""
