/* Where the kernel shows functions, drivers and groups. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/vfio/internal.h"

#define BUS "/sys/bus/vmbus/devices"

/* an entry of a folder that looks like this; false: none */
static bool find_entry(const char *folder, const char *format, char *out, size_t size)
{
	DIR *dir = opendir(folder);
	u32 a, b, c, d;
	bool found = false;

	for (struct dirent *e; dir && !found && (e = readdir(dir));)
		if (sscanf(e->d_name, format, &a, &b, &c, &d) >= 2) {
			snprintf(out, size, "%.255s", e->d_name);
			found = true;
		}
	if (dir)
		closedir(dir);
	return found;
}

/* path of the function behind an instance: <bus>/<instance>/pciDDDD:00/DDDD:00:00.0 */
int sysfs_function(const struct guid *instance, char *path, size_t size, char address[16])
{
	char folder[128], name[256], text[GUID_STRLEN + 1];

	guid_format(instance, text);
	snprintf(folder, sizeof(folder), BUS "/%s", text);
	if (!find_entry(folder, "pci%x:%x", name, sizeof(name)) || strlen(name) > 16)
		return -ENOENT;
	snprintf(folder, sizeof(folder), BUS "/%s/%.16s", text, name);
	if (!find_entry(folder, "%x:%x:%x.%x", name, sizeof(name)) || strlen(name) > 15)
		return -ENOENT;
	snprintf(address, 16, "%.15s", name);
	snprintf(path, size, "%s/%.15s", folder, name);
	return 0;
}

/* the last part of a symbolic link's target */
int sysfs_link_name(const char *path, char *out, size_t size)
{
	char target[256];
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	if (len <= 0)
		return -ENOENT;
	target[len] = 0;
	const char *slash = strrchr(target, '/');

	slash = slash ? slash + 1 : target;
	if (strlen(slash) >= size)
		return -ENAMETOOLONG;
	memcpy(out, slash, strlen(slash) + 1);
	return 0;
}

static bool is_bound(const char *function)
{
	char path[300], driver[64];

	snprintf(path, sizeof(path), "%s/driver", function);
	return !sysfs_link_name(path, driver, sizeof(driver)) && !strcmp(driver, "vfio-pci");
}

u32 vfio_find(struct guid *list, u32 max)
{
	DIR *dir = opendir(BUS);
	char path[256], address[16];
	u32 count = 0;

	for (struct dirent *e; dir && count < max && (e = readdir(dir));)
		if (guid_parse(e->d_name, &list[count]) && !sysfs_function(&list[count], path, sizeof(path), address) &&
			is_bound(path))
			count++;
	if (dir)
		closedir(dir);
	return count;
}
