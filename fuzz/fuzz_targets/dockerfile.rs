#![no_main]

laminate_fuzz::target!(dockerfile);
