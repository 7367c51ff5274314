// SPDX-License-Identifier: MIT
/* libFuzzer target: SYNs are read within their bounds; what answers one is no SYN itself. */
#include "../syn.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct syn syn, other;
	uint8_t *packet, reset[RESET_BYTES];

	if (size > SYN_MAX)
		return 0;
	packet = malloc(size + !size);
	if (!packet)
		return 0;
	memcpy(packet, bytes, size);
	if (syn_parse(packet, size, &syn)) {
		size_t length = syn_refusal(&syn, reset);

		if (length > sizeof(reset) || syn_parse(reset, length, &other) || (syn.names_destination && !syn.destination.port))
			abort();
	}
	syn_checksum(packet, size);
	free(packet);
	return 0;
}
