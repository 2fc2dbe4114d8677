"""The words of the sample, all of them invented."""

DEPARTMENTS = (
    "Field Operations",
    "Customer Care",
    "Data Platform",
    "Finance",
    "People and Culture",
    "Compliance",
    "Health, Safety and Environment",
    "Logistics",
    "Design Studio",
    "Information Security",
    "Communications",
    "Études et prospective",
)

GRADES = ("Trainee", "Junior", "", "Senior", "Lead", "Principal")

ROLES = (
    "Avro Wrangler",
    "Bridge Inspector",
    "Buyer",
    "Carpenter",
    "Cartographer",
    "Conservator",
    "Copy Editor",
    "Data Engineer",
    "Dispatcher",
    "Electrician",
    "Forester",
    "Glazier",
    "Hydrologist",
    "Illustrator",
    "Interpreter",
    "Kiln Operator",
    "Lexicographer",
    "Locksmith",
    "Machinist",
    "Meteorologist",
    "Miller",
    "Optician",
    "Pattern Maker",
    "Piano Tuner",
    "Pressman/Printer",
    "Query Planner",
    "Rigger",
    "Service Designer",
    "Surveyor",
    "Typesetter",
    "Welder",
)

FIRST_NAMES = tuple(
    "Adaeze Aino Amara Anselm Beatriz Bo Bronwen Camille Chidi Dagny Dilara Eino Elif Émile "
    "Esi Farid Fionn Gaël Gudrun Hana Ines Ingrid Iwan Jelena João Kaito Kofi Łukasz Leilani "
    "Mateo Mbali Mei Mikołaj Nadia Ngozi Noor Odile Omar Paloma Petra Quang Rafaël Renée Rosa "
    "Saoirse Søren Sunniva Tariq Tomasz Ulla Vera Wanjiru Xiomara Yara Yusuf Zoë Žofia "
    "美咲 Юрий".split()
)

LAST_NAMES = tuple(
    "Abara Achterberg Adeyemi Almeida Bakke Bergström Boateng Calloway Cárdenas Çelik Dlamini "
    "Dubois Eskelinen Fairweather Ferreira Gunnarsson Haddad Hashimoto Ibáñez Ivanova Jansen "
    "Kamau Kowalczyk Kruse Lindqvist Löwe Mac-Allister Marchetti Mensah Moreau Müller Nakamura "
    "Nguyễn Novák O'Dowd Okafor Öztürk Papadaki Peña Quispe Rask Rosenthal Sá Santorini Sjöberg "
    "Szabó Tanaka Tremblay Umarov Valente Van-Dijk Virtanen Wójcik Xu Yamada Zieliński "
    "佐藤 Орлов".split()
)
