/* What pvdiag can do: the one table that parsing, help and completions read. */
#include "diag/cli/cli.h"

const struct option_spec option_specs[OPTIONS] = {
	[OPT_RECURSIVE] = { 'r', "recursive", NULL, .help = "all levels" },
	[OPT_DEPTH] = { 'l', "depth", "N", .min = 1, .max = NODE_DEPTH_MAX - 1, .help = "N levels (default 1)" },
	[OPT_JSON] = { 'j', "json", NULL, .help = "JSON" },
	[OPT_UPDATE] = { 'u', "update", "VALUE", .help = "set the one PATH to VALUE and print what it is then" },
	[OPT_WATCH] = { 'w', "watch", "SECONDS", .optional = true, .min = 0.05, .max = 86400,
			.help = "again and again (default every second); numbers that grow are shown as rates" },
	[OPT_COUNT] = { 'n', "count", "N", .min = 1, .max = 1e9, .help = "only so many times" },
	[OPT_FOLLOW] = { 'f', "follow", NULL, .help = "wait for more" },
	[OPT_RECONNECT] = { 'R', "reconnect", NULL, .help = "after the end wait for the machine to come back" },
	[OPT_ENV] = { 'e', "env", "NAME=VALUE", .help = "an environment variable; may be given several times" },
	[OPT_UNSET] = { 'U', "unset", "NAME", .help = "an environment variable that it is not to have" },
	[OPT_CLEAR_ENV] = { 0, "clear-env", NULL, .help = "no environment but what --env gives" },
	[OPT_OUTPUT] = { 'o', "output", "FILE", .help = "write to FILE (default: stdout, unless that is a terminal)" },
	[OPT_SECONDS] = { 's', "seconds", "N", .min = 0.1, .max = 86400, .help = "how long" },
	[OPT_FREQUENCY] = { 'F', "frequency", "HZ", .min = 1, .max = 10000, .help = "samples a second" },
	[OPT_SYMBOLS] = { 0, "symbols", "FILE", .help = "the firmware's binary with symbols: addresses become names" },
	[OPT_LEVEL] = { 0, "level", "LEVEL", .help = "error, notice, warn, info or debug: records as grave as this, and graver" },
	[OPT_DOMAIN] = { 0, "domain", "LIST", .help = "only these domains, as vmbus,nvme" },
	[OPT_PROCESS] = { 'p', "process", "NAME",
			  .help = "only this process's: init, control, vmm, kernel; or a process's name" },
	[OPT_REMOTE] = { 0, "allow-remote", NULL, .help = "let other computers connect (default: only this one)" },
	[OPT_PORT] = { 0, "port", "N", .min = 0, .max = 65535, .help = "the TCP port (default: any free one, which is said)" },
	[OPT_STDIO] = { 0, "stdio", NULL, .help = "speak the protocol on stdin and stdout: for gdb's `target remote | ...`" },
	[OPT_TIMEOUT] = { 0, "timeout", "SECONDS", .min = 0.001, .max = 86400,
			  .help = "how long to wait for an answer (default 5)" },
	[OPT_COLOUR] = { 0, "color", "WHEN", .help = "auto, always or never" },
	[OPT_HELP] = { 'h', "help", NULL, .help = "this text" },
	[OPT_VERSION] = { 'V', "version", NULL, .help = "pvdiag's version" },
};

#define MANY WORDS_MAX

const struct command commands[] = {
	{ "inspect", "[PATH...]", "print the state below PATH; without one, everything, one level deep",
	  BIT(OPT_RECURSIVE) | BIT(OPT_DEPTH) | BIT(OPT_JSON) | BIT(OPT_UPDATE) | BIT(OPT_WATCH) | BIT(OPT_COUNT), 0, MANY, false,
	  "  pvdiag inspect -r vm                          everything about the virtual machine\n"
	  "  pvdiag inspect 'vm/partition/vps/*/exits'     the same node of every VP\n"
	  "  pvdiag inspect vm/storage -r --watch          rates, every second\n"
	  "  pvdiag inspect -j -r | jq .proc.meminfo\n"
	  "  pvdiag inspect trace/filter -u info,vp=debug  set the log's filter\n", command_inspect },
	{ "kmsg", "", "print the firmware's kernel log", BIT(OPT_FOLLOW) | BIT(OPT_RECONNECT), 0, 0, false,
	  "  pvdiag kmsg -f          and what comes\n"
	  "  pvdiag kmsg -f -R       also over restarts of the machine\n", command_kmsg },
	{ "events", "", "the firmware's log as records: time, level, process, domain, text",
	  BIT(OPT_FOLLOW) | BIT(OPT_JSON) | BIT(OPT_LEVEL) | BIT(OPT_DOMAIN) | BIT(OPT_PROCESS), 0, 0, false,
	  "  pvdiag events --level warn             what went wrong so far\n"
	  "  pvdiag events -f --domain vmbus,nvme   two domains, as it happens\n"
	  "  pvdiag events -j | jq 'select(.process == \"vmm\")'\n", command_events },
	{ "top", "", "live: what the VPs exit for, their executors' load, disks' rates",
	  BIT(OPT_WATCH) | BIT(OPT_COUNT) | BIT(OPT_JSON), 0, 0, false,
	  "  pvdiag top\n"
	  "  pvdiag top -n 1 --watch=5     one table over five seconds, for a script\n", command_top },
	{ "shell", "[PROGRAM [ARG...]]", "an interactive shell (or PROGRAM) in VTL2",
	  BIT(OPT_ENV) | BIT(OPT_CLEAR_ENV), 0, MANY, true,
	  "  pvdiag shell                  leave it with exit or Ctrl-D\n"
	  "  pvdiag shell top              another program on the terminal\n", command_shell },
	{ "run", "PROGRAM [ARG...]", "run a program in VTL2: its output, its exit status",
	  BIT(OPT_ENV) | BIT(OPT_CLEAR_ENV), 1, MANY, true,
	  "  pvdiag run ps\n"
	  "  pvdiag run sh -c 'cat /proc/interrupts | head'\n"
	  "  pvdiag run sh -c 'cat >/tmp/tool' <tool\n", command_run },
	{ "file", "PATH", "print a file of VTL2", BIT(OPT_FOLLOW) | BIT(OPT_OUTPUT), 1, 1, false,
	  "  pvdiag file /proc/iomem\n"
	  "  pvdiag file -f /tmp/trace     and what is added to it\n", command_file },
	{ "start", "", "start VTL0 where the firmware was told to wait (PARAVANE_WAIT_FOR_START=1)",
	  BIT(OPT_ENV) | BIT(OPT_UNSET), 0, 0, false,
	  "  pvdiag start -e PARAVANE_LOG=debug\n", command_start },
	{ "pause", "", "hold VTL0's processors; diagnostics go on", 0, 0, 0, false,
	  "  pvdiag pause; pvdiag inspect -r vm; pvdiag resume\n",
	  command_pause },
	{ "resume", "", "let VTL0's processors go on", 0, 0, 0, false, "  pvdiag resume\n", command_resume },
	{ "restart", "", "start a new worker, as long as VTL0 has not run", 0, 0, 0, false, "  pvdiag restart\n",
	  command_restart },
	{ "dump-saved-state", "", "the state of VPs and devices as it would be saved", BIT(OPT_OUTPUT), 0, 0, false,
	  "  pvdiag dump-saved-state -o state.bin\n", command_dump_saved_state },
	{ "crash", "PROCESS", "make a process of the firmware die as if it had gone wrong (a name, or its id)", 0, 1, 1, false,
	  "  pvdiag crash worker           its core goes to pvhost --crash-dumps\n", command_crash },
	{ "core-dump", "PROCESS", "a core of a process that lives on", BIT(OPT_OUTPUT), 1, 1, false,
	  "  pvdiag core-dump worker -o worker.core && scripts/symbolize worker.core\n", command_core_dump },
	{ "packet-capture", "", "capture the packets of VTL0's network devices", BIT(OPT_OUTPUT) | BIT(OPT_SECONDS), 0, 0, false,
	  "  pvdiag packet-capture -o nic --seconds 10     nic-0.pcap, nic-1.pcap, …\n", command_packet_capture },
	{ "vsock-tcp-relay", "VSOCK-PORT TCP-PORT", "a TCP port of this computer that leads to a vsock port of the firmware",
	  BIT(OPT_REMOTE) | BIT(OPT_COUNT), 2, 2, false,
	  "  pvdiag vsock-tcp-relay 1 4001      then, elsewhere: a client of port 1 at 127.0.0.1:4001\n"
	  "  pvdiag vsock-tcp-relay 4 0 -n 1    any free port, one connection\n", command_relay },
	{ "gdbserver", "", "let gdb debug VTL0: a TCP port of this computer, or a pipe, that leads to the firmware's gdbstub",
	  BIT(OPT_PORT) | BIT(OPT_STDIO) | BIT(OPT_REMOTE) | BIT(OPT_COUNT), 0, 0, false,
	  "  pvdiag gdbserver --port 1234 & gdb vmlinux -ex 'target remote :1234'\n"
	  "  gdb vmlinux -ex 'target remote | pvdiag gdbserver --stdio'\n", command_gdbserver },
	{ "perf-trace", "", "sample where a process of the firmware spends its time, as folded stacks for flame graphs",
	  BIT(OPT_SECONDS) | BIT(OPT_FREQUENCY) | BIT(OPT_PROCESS) | BIT(OPT_SYMBOLS) | BIT(OPT_OUTPUT), 0, 0, false,
	  "  pvdiag perf-trace -s 10 --symbols build/target/bin/paravane -o worker.folded\n"
	  "  flamegraph.pl worker.folded >worker.svg       (or speedscope, or inferno)\n"
	  "  pvdiag perf-trace -p control | sort | head\n", command_perf_trace },
	{ "bundle", "[FILE]", "one archive with what a bug report needs: inspect, log, processes, memory", 0, 0, 1, false,
	  "  pvdiag bundle                 paravane-DATE-TIME.tar in this folder\n"
	  "  pvdiag bundle /tmp/bug.tar\n", command_bundle },
	{ "completions", "bash|zsh|fish", "what a shell needs to complete pvdiag's command lines", 0, 1, 1, false,
	  "  pvdiag completions bash >/etc/bash_completion.d/pvdiag\n", command_completions },
	{ "ping", "", "ask whether the paravisor answers", 0, 0, 0, false, "  pvdiag ping && echo up\n", command_ping },
};
const unsigned command_count = ARRAY_SIZE(commands);
