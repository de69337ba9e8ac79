// SPDX-License-Identifier: GPL-2.0
/* Test module: says that it was loaded, and exports one symbol. */
#include <linux/module.h>
#include <linux/moduleparam.h>

static char *greeting = "hello";
module_param(greeting, charp, 0444);
MODULE_PARM_DESC(greeting, "word to print on load");

int my_module_answer(void);
int my_module_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(my_module_answer);

static int __init my_init(void)
{
	pr_info("my-module: loaded, version %s, greeting %s\n",
		THIS_MODULE->version, greeting);
	return 0;
}

static void __exit my_exit(void)
{
	pr_info("my-module: unloaded\n");
}

module_init(my_init);
module_exit(my_exit);
MODULE_VERSION("1.0.0");
MODULE_ALIAS("boot-test-alias");
MODULE_DESCRIPTION("boot test module");
MODULE_LICENSE("GPL");
