/* the host's settings document: JSON or protobuf, in namespaces or not; and the platform settings around it */
#include <stdlib.h>
#include <string.h>

#include "vmm/settings/settings.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct settings_error error;
	struct settings *s;

	if (len && *data == 0xff) {
		char *text = strndup((const char *)data + 1, len - 1);
		void *document;
		size_t document_len;

		if (text && !settings_of_platform(text, &document, &document_len, &error))
			free(document);
		free(text);
		return 0;
	}
	if (!settings_parse(data, len, &s, &error))
		settings_free(s);
	return 0;
}
