module crossmatrix/supervisor

go 1.21
