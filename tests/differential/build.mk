# the firmware's code against engines that nobody here wrote
DEPS := lib/core vmm/emul
PROG := emul_unicorn steps_unicorn
PROG_steps_unicorn := steps_unicorn.c
PROGFLAVOUR_steps_unicorn := native
PROGLIBS_steps_unicorn := -lunicorn
PROG_emul_unicorn := emul_unicorn.c engine.c cases.c rules.c native.c judge.c
PROGFLAVOUR_emul_unicorn := native
PROGLIBS_emul_unicorn := -lunicorn
