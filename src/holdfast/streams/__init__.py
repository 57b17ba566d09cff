"""What bytes pass through on their way: generators that count, cut, compress and encrypt; and signatures."""
