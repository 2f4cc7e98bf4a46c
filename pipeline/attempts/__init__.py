"""The way of one attempt: admitted, submitted, polled, collected, validated, rescued, tried again."""
